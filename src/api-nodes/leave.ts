// Leaving, because somebody said so: disable keeps the node through the current epoch and takes no new one; delete only on demand.
import type { Clock } from '../core/clock.ts'
import { within } from '../core/abort.ts'
import type { AdminClient } from './admin-client.ts'
import { judgeAnswer } from './classify.ts'

export type LeaveOptions = {
  /** Another id than ours: what an earlier CLIENT_ID left behind. */
  id?: string
  /** Also DELETE the record. The API node's broker may block on it for up to 15 min; we do not wait for that. */
  remove?: boolean
  /** ms for each API node. */
  bound?: number
}

export type LeaveResult = {
  apiNode: string
  id: string
  outcome: 'disabled' | 'deleted' | 'unknown-there' | 'failed'
  why?: string
}

/** Tries again while there is time; never throws. */
export async function leaveAt(
  client: AdminClient,
  where: { endpoint: string; id: string },
  options: { remove: boolean; bound: number; clock: Clock; abort: AbortSignal },
): Promise<LeaveResult> {
  const { endpoint, id } = where
  const { bound, clock } = options
  const abort = within(bound, options.abort)
  const path = `${endpoint}/${encodeURIComponent(id)}`
  const result = (outcome: LeaveResult['outcome'], why?: string): LeaveResult => ({
    apiNode: client.address,
    id,
    outcome,
    ...(why && { why }),
  })
  const began = clock.now()
  for (;;) {
    const left = Math.max(1, bound - (clock.now() - began))
    const answer = await client.send(
      { method: 'POST', path: `${path}/disable`, timeoutMs: Math.min(5_000, left) },
      abort,
    )
    if (answer.kind === 'answered' && answer.status === 404) return result('unknown-there')
    const verdict = judgeAnswer(answer, `POST ${path}/disable at ${client.address}`)
    if (verdict.kind === 'ok') break
    if (verdict.kind === 'final' || abort.aborted || left < 1_000) return result('failed', verdict.evidence)
    await clock.wait(500, abort)
  }
  if (!options.remove) return result('disabled')
  const left = Math.max(1, bound - (clock.now() - began))
  const answer = await client.send({ method: 'DELETE', path, timeoutMs: left }, abort)
  const verdict = judgeAnswer(answer, `DELETE ${path} at ${client.address}`)
  if (verdict.kind === 'ok') return result('deleted')
  return result('disabled', `${verdict.evidence}; a broker that waits for a node may delete it up to 15 min later`)
}
