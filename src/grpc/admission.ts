// Which calls are taken: so many at once, and so many bytes of requests over all of them. What is beyond is refused at once: a call that
// waited would hold its request as well, and who is refused may try again.
import { CallError } from './call-error.ts'

export interface Admission {
  /** @throws CallError RESOURCE_EXHAUSTED */
  admit(bytes: number): Place
}

/** Of one call; each is told once. */
export interface Place {
  /** The request is done with. */
  forget(): void
  /** The client has read the end of the call, or has left. */
  leave(): void
}

export type AdmissionBounds = { calls: number; bytes: number }

export function createAdmission(bounds: AdmissionBounds): Admission {
  const held = { calls: 0, bytes: 0 }
  return {
    admit(bytes) {
      const refusal = judgeAdmission(held, bytes, bounds)
      if (refusal !== undefined) throw new CallError('RESOURCE_EXHAUSTED', refusal)
      held.calls += 1
      held.bytes += bytes
      return {
        forget: () => void (held.bytes -= bytes),
        leave: () => void (held.calls -= 1),
      }
    },
  }
}

/** Pure. @returns why not */
function judgeAdmission(held: AdmissionBounds, bytes: number, bounds: AdmissionBounds): string | undefined {
  const most = `${Math.floor(bounds.bytes / 2 ** 20)} MiB`
  if (bytes > bounds.bytes) return `The request would take more than ${most} of memory, send it in parts`
  if (held.calls >= bounds.calls) return `${held.calls} calls are in flight, try again later`
  if (held.bytes + bytes > bounds.bytes) return `Requests in flight take ${most} of memory, try again later`
  return undefined
}
