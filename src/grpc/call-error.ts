// How a call ends when it does not end well: grpc-js takes `code` and `details` of what a handler gives it.

/** The codes of A1.8, and ours for guessers of keys, for too much at once and for deadlines; the numbers are gRPC's. */
export const callCodes = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAUTHENTICATED: 16,
} as const
export type CallCode = keyof typeof callCodes

/** Trailers are headers: Python's client takes 8 KB of them, and each byte may be written as three. */
const longest = 1000

export class CallError extends Error {
  override readonly name = 'CallError'
  readonly code: number
  readonly details: string

  constructor(code: CallCode, details: string) {
    super(details)
    this.code = callCodes[code]
    // A lone surrogate, cut in half by the bound or sent by an engine, would throw where grpc-js encodes it.
    this.details = (details.length > longest ? `${details.slice(0, longest)}…` : details).toWellFormed()
  }
}
