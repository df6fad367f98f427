// Refusals: the caller asked for the impossible. Thrown anywhere, translated once per edge (HTTP, socket, CLI exit code).

export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: string
  /** HTTP status; the CLI maps it to an exit code. */
  readonly status: number
  readonly remedy: string

  /** @param message lower case, values included, no full stop, what failed before why */
  constructor(code: string, status: number, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.status = status
    this.remedy = options.remedy ?? ''
  }
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause =
    error.cause instanceof Error && !error.message.includes(error.cause.message) ? `: ${messageOf(error.cause)}` : ''
  return `${error.message}${cause}`.replaceAll(/\s*\n\s*/g, ' ')
}

/** We are out of descriptors or memory: what could not be looked at is not gone, it is unknown. */
export function isShortage(error: unknown): boolean {
  return ['EMFILE', 'ENFILE', 'ENOMEM'].includes(codeOf(error) ?? '')
}

/** The errno name (`ENOENT`, `ECONNREFUSED`, …) of anything thrown, looking through causes. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  return codeOf(error.cause)
}
