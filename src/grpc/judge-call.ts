// Whether a call may go on to the engines: the checks of contracts/control-plane.md A1.8 in their order, with their texts. Pure.
import type { LaunchResponse, LaunchTask } from '../api/launches.ts'
import { CallError } from './call-error.ts'

export type CallFacts = {
  task: LaunchTask
  launchId: string
  /** Prompts or texts. */
  count: number
}

/** The key was looked at before, by access.ts. @returns why not */
export function judgeCall({ task, launchId, count }: CallFacts, launch: LaunchResponse | undefined) {
  if (count === 0) {
    return new CallError('INVALID_ARGUMENT', `${task === 'embed' ? 'texts' : 'prompts'} must not be empty`)
  }
  if (!launch) return new CallError('NOT_FOUND', `Unknown launch_id: ${launchId}`)
  if (launch.state !== 'ready') {
    return new CallError('FAILED_PRECONDITION', `Launch ${launchId} is not ready (state=${launch.state})`)
  }
  if (launch.task !== task) {
    return new CallError('FAILED_PRECONDITION', `Launch ${launchId} has task '${launch.task}', expected '${task}'`)
  }
  return undefined
}
