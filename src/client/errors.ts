// What the client throws, by what a caller does about it. All of them are ClientErrors, and each names its launch or address.

export abstract class ClientError extends Error {}

/** An entry of a 422, as FastAPI and pydantic spell it. */
export type ValidationIssue = { type: string; loc: (string | number)[]; msg: string; input?: unknown }

/** The service refused a REST call. */
export class RequestError extends ClientError {
  override readonly name = 'RequestError'
  /** HTTP status. */
  readonly status: number
  /** The `detail` of the answer: a sentence, or the issues of a 422. */
  readonly detail: string | ValidationIssue[]

  constructor(what: string, status: number, detail: string | ValidationIssue[]) {
    super(`${what}: ${status}: ${typeof detail === 'string' ? detail : detail.map(toSentence).join('; ')}`)
    this.status = status
    this.detail = detail
  }
}

/** The service refused or broke off a gRPC call. */
export class InferenceError extends ClientError {
  override readonly name = 'InferenceError'
  /** gRPC status. */
  readonly status: number
  /** Its name: `NOT_FOUND`, `FAILED_PRECONDITION`, … */
  readonly code: string
  readonly detail: string

  constructor(what: string, status: { status: number; code: string; detail: string }, cause?: unknown) {
    super(`${what}: ${status.code}: ${status.detail}`, { cause })
    this.status = status.status
    this.code = status.code
    this.detail = status.detail
  }
}

/** The launch failed or was stopped while somebody waited for it. */
export class LaunchEndedError extends ClientError {
  override readonly name = 'LaunchEndedError'
  readonly launchId: string
  readonly state: string
  /** `error` of the launch. */
  readonly detail: string

  constructor(launch: { launch_id: string; state: string; error: string | null }) {
    super(`launch ${launch.launch_id} is ${launch.state}${launch.error ? `: ${launch.error}` : ''}`)
    this.launchId = launch.launch_id
    this.state = launch.state
    this.detail = launch.error ?? ''
  }
}

/** No end within the time that was given. The work goes on; nothing was stopped. */
export class WaitTimeoutError extends ClientError {
  override readonly name = 'WaitTimeoutError'
  /** ms */
  readonly timeout: number

  constructor(what: string, timeout: number) {
    super(`${what}: not within ${timeout} ms`)
    this.timeout = timeout
  }
}

/** Nothing answers there, or not as the service does. */
export class UnreachableError extends ClientError {
  override readonly name = 'UnreachableError'

  constructor(what: string, cause: unknown) {
    super(`${what}: ${sentenceOf(cause)}`, { cause })
  }
}

const toSentence = ({ loc, msg }: ValidationIssue) => `${loc.join('.')}: ${msg}`

/** fetch says "fetch failed" and keeps the reason in its cause. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : sentenceOf(error.cause)
  return [error.message || ('code' in error ? String(error.code) : error.name), cause].filter(Boolean).join(': ')
}
