// Clients that do not read what was sent to them. grpc-js waits for them without end, also beyond their deadline: here their call is
// closed after a while, which frees what it holds.
import { slowestRate } from '../http/idle-body.ts'
import { type ServerCall, streamOf } from './call-scope.ts'

/** HTTP/2's CANCEL. */
const cancel = 8
/** After a deadline the client may still be told about it. */
const grace = 1000

/** For a call that is written to its end, of which `bytes` are not read yet. @param baseMs that each client gets */
export function limitUnread(call: ServerCall, bytes: number, baseMs: number): void {
  if (call.cancelled) return
  const left = Math.max(0, Number(call.getDeadline()) - Date.now()) + grace
  const late = setTimeout(() => streamOf(call)?.close(cancel), Math.min(left, baseMs + bytes / slowestRate)).unref()
  call.on('cancelled', () => clearTimeout(late))
}
