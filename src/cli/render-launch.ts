// A launch as text for a person. Pure.
import type { LaunchResponse, LaunchState } from '../api/launches.ts'
import { paint } from './output.ts'
import { renderAge } from './render-status.ts'
import { renderTable } from './table.ts'
import type { Output } from './verb.ts'

const colours: Record<LaunchState, 'green' | 'yellow' | 'red' | 'grey'> = {
  bootstrapping: 'yellow',
  ready: 'green',
  stopping: 'yellow',
  stopped: 'grey',
  failed: 'red',
}

/** Enough of an id to tell launches of one machine apart; `stop`, `logs` and `complete` take it. */
export const toShortId = (id: string) => id.slice(0, 8)

export function renderLaunches(launches: readonly LaunchResponse[], out: Output, now: number): string {
  const rows = launches.map((one) => [
    toShortId(one.launch_id),
    one.owner === 'configuration' ? '(node)' : (one.name ?? '-'),
    one.model,
    one.task,
    one.gpu_ids.join(',') || '-',
    one.state,
    renderAge(now - Date.parse(one.updated_at)),
    renderProgress(one),
  ])
  const table = renderTable(['ID', 'NAME', 'MODEL', 'TASK', 'GPUS', 'STATE', 'FOR', 'DETAIL'], rows)
  const reasons = launches.flatMap((one) => (one.diagnosis ? [renderFailure(one)] : []))
  return paintStates(table, out) + reasons.join('')
}

/** `loading weights, 40 %, 12 s`, or where it stands in the queue; empty where there is nothing to say. */
export function renderProgress({ progress, queue_position, diagnosis, error }: LaunchResponse): string {
  const held = progress?.stage?.replace(/^waiting for GPUs:?/, '') ?? ''
  if (queue_position !== undefined) return `waits for GPUs, place ${queue_position} in the queue${held && `:${held}`}`
  if (diagnosis) return `${diagnosis.title} [${diagnosis.code}]`
  if (error) return error.trim().split('\n').at(-1) ?? ''
  const { stage, percent, seconds } = progress ?? {}
  const parts = [
    stage,
    percent === undefined ? undefined : `${Math.round(percent)} %`,
    seconds === undefined ? undefined : `${Math.round(seconds)} s`,
  ]
  return parts.filter((one) => one !== undefined).join(', ')
}

/** What was seen and what to do; the bare error where nothing is known of it. */
export function renderFailure({ launch_id, diagnosis, error }: LaunchResponse): string {
  if (!diagnosis) return `launch ${toShortId(launch_id)}: ${error?.trim() ?? 'it ended'}\n`
  const { title, code, evidence, remedy } = diagnosis
  return `launch ${toShortId(launch_id)}: ${title} [${code}]\n  seen: ${evidence}\n  do:   ${remedy}\n`
}

/** After the columns are aligned: colours have no width. */
function paintStates(table: string, out: Output): string {
  if (!out.colours) return table
  return table.replaceAll(/ (bootstrapping|ready|stopping|stopped|failed) /g, (_, state: LaunchState) => {
    return ` ${paint(out, colours[state], state)} `
  })
}
