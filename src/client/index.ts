// `gonka-node/client`: launch, wait, complete, stop. The one barrel of this repository: it is what npm users import.
export { connect, type ConnectOptions, type LaunchClient } from './connect.ts'
export {
  ClientError,
  InferenceError,
  LaunchEndedError,
  RequestError,
  UnreachableError,
  type ValidationIssue,
  WaitTimeoutError,
} from './errors.ts'
export type { EventsOptions, LaunchEvent } from './events.ts'
export type { CompleteOptions, Completion, Token } from './generation.ts'
export type { Launch, OwnLaunch, WaitOptions } from './launch.ts'
export type { Guided, LaunchWish, Sampling } from './request.ts'
export type { LaunchResponse, LaunchState, LaunchTask } from '../api/launches.ts'
export type { SystemStats } from '../api/stats.ts'
