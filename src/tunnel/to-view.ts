// From verdicts to what others see: a view moves its `since` only with its phase or problem; and the status of all tunnels.
import type { Health, PartStatus, Problem } from '../api/status.ts'
import { renderHostPort } from '../core/host-port.ts'
import type { Life } from './frpc-lives.ts'
import type { Verdict } from './judge-tunnel.ts'
import type { TunnelView } from './tunnels.ts'

/** The old view itself where nothing changed. */
export function toView(old: TunnelView, verdict: Verdict, life?: Life): TunnelView {
  const { phase, problem, note } = verdict
  const same = old.phase === phase && old.problem?.code === problem?.code
  const pid = life?.body.record.pid
  if (same && old.note === note && old.pid === pid && old.problem?.evidence === problem?.evidence) return old
  return {
    server: old.server,
    phase,
    inferenceRemotePort: old.inferenceRemotePort,
    nodeRemotePort: old.nodeRemotePort,
    since: same ? old.since : new Date().toISOString(),
    ...(problem && { problem }),
    ...(note !== undefined && { note }),
    ...(pid !== undefined && { pid }),
    ...(life && { version: life.version }),
  }
}

export type Summary = { health: Health; summary: string; problem?: Problem }

/** All down is failed, some down is degraded: an API node that has another server goes on. */
export function judgeTunnels(views: readonly TunnelView[]): Summary {
  const of = (phase: TunnelView['phase']) => views.filter((one) => one.phase === phase)
  const broken = of('down')
  const [first] = broken
  const total = views.length
  if (first?.problem) {
    const summary = `${broken.length} of ${total} tunnels down: ${renderHostPort(first.server)}: ${first.problem.title}`
    return { health: broken.length === total ? 'failed' : 'degraded', summary, problem: first.problem }
  }
  const waiting = of('starting').length + broken.length
  if (waiting > 0) return { health: 'starting', summary: `${waiting} of ${total} tunnels starting` }
  const unproved = of('unproved')
  if (unproved.length === 0) return { health: 'ok', summary: `${total} of ${total} tunnels proved end to end` }
  return { health: 'ok', summary: `${total} tunnels up, ${unproved.length} not proved: ${unproved[0]?.note ?? ''}` }
}

const healths: Record<TunnelView['phase'], Health> = {
  proved: 'ok',
  unproved: 'ok',
  starting: 'starting',
  down: 'failed',
}

export function describeTunnel(view: TunnelView): PartStatus {
  const { phase, problem, note, since, inferenceRemotePort, nodeRemotePort } = view
  const ports = `${inferenceRemotePort}, ${nodeRemotePort}`
  return {
    name: renderHostPort(view.server),
    health: healths[phase],
    summary: `${phase} (${ports})${note ? `: ${note}` : ''}`,
    since,
    ...(problem && { problem }),
  }
}
