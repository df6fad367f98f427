// How we stand at one API node, and what follows for the whole part. Shapes and pure judgement.
import type { Health, PartStatus, Problem } from '../api/status.ts'
import { toProblem } from './problems.ts'
import type { RememberedRecord } from './remembered.ts'

/**
 *   waiting-tunnel --> waiting-engine --> registering --> registered     (a registered node stays so when its engine or tunnel goes)
 *                                             |  ^
 *                                             v  |
 *                            unreachable | refused | differs             left: by `leave`, nothing is sent any more
 */
export type Phase =
  | 'waiting-tunnel'
  | 'waiting-engine'
  | 'registering'
  | 'registered'
  | 'unreachable'
  | 'refused'
  | 'differs'
  | 'left'

/** Whether we may announce ourselves: the tunnel is proved, and an engine serves (unless INFERENCE_NODE=false). */
export type Gate = 'waiting-tunnel' | 'waiting-engine' | 'open'

export type ApiNodeView = {
  /** `10.0.0.1:9200` */
  address: string
  phase: Phase
  /** The id under which the API node listed us when we last looked. */
  registeredId?: string
  /** Where the API node was told to reach us, `frps:10042 frps:20042`. */
  announced?: string
  /** Of phase and problem, ISO. */
  since: string
  problem?: Problem
  /** When the record was last seen to be right, ISO. */
  lastVerified?: string
  /** `max_concurrent: 400 there, 500 here` */
  differences: readonly string[]
  /** What the broker makes of us: INFERENCE, POC, FAILED… */
  seenAs?: string
}

export function toPhase(gate: Gate): Phase {
  return gate === 'open' ? 'registering' : gate
}

/** Records of ours under another id, or at an API node that is not configured any more, which nobody disabled. */
export function pickLeftBehind(
  records: readonly RememberedRecord[],
  own: { id: string; apiNodes: readonly string[] },
): RememberedRecord[] {
  return records.filter((one) => !one.left && (one.id !== own.id || !own.apiNodes.includes(one.apiNode)))
}

export function judgePart(
  views: readonly ApiNodeView[],
  leftBehind: readonly RememberedRecord[],
  unsaved: Problem | undefined,
): { health: Health; summary: string; problem?: Problem } {
  const registered = views.filter(({ phase }) => phase === 'registered')
  const summary = describeViews(views, registered)
  const first = views.find((view) => view.problem)?.problem
  if (first) {
    const isLost = registered.length === 0 && views.every(({ phase }) => phase === 'refused' || phase === 'differs')
    return { health: isLost ? 'failed' : 'degraded', summary, problem: first }
  }
  const old = leftBehind.map((one) => `id ${one.id} at ${one.apiNode}`).join(', ')
  if (old) return { health: 'degraded', summary, problem: toProblem('registration-left-behind', old) }
  if (unsaved) return { health: 'degraded', summary, problem: unsaved }
  if (views.every(({ phase }) => phase === 'left')) return { health: 'off', summary }
  return { health: registered.length === views.length ? 'ok' : 'starting', summary }
}

export function toPart(view: ApiNodeView): PartStatus {
  const { phase, problem } = view
  const health = problem ? (phase === 'refused' || phase === 'differs' ? 'failed' : 'degraded') : toHealth(phase)
  return {
    name: view.address,
    health,
    summary: describeView(view),
    since: view.since,
    ...(problem && { problem }),
  }
}

export function describeView(view: ApiNodeView): string {
  const announced = view.announced ? `, announced as ${view.announced}` : ''
  const id = view.registeredId ? ` as ${view.registeredId}` : ''
  const seen = view.seenAs ? `, seen as ${view.seenAs}` : ''
  switch (view.phase) {
    case 'waiting-tunnel':
      return 'waits for its tunnel'
    case 'waiting-engine':
      return `waits for an engine${id && `; still registered${id}`}`
    case 'registering':
      return `registering${announced}`
    case 'registered':
      return `registered${id}${announced}${seen}`
    case 'unreachable':
      return 'cannot be asked'
    case 'refused':
      return 'refuses our registration'
    case 'differs':
      return `keeps another record: ${view.differences.join('; ')}`
    case 'left':
      return 'left'
  }
}

function describeViews(views: readonly ApiNodeView[], registered: readonly ApiNodeView[]): string {
  const [only] = views
  if (only && views.length === 1) return `${only.address}: ${describeView(only)}`
  if (registered.length === views.length) return `registered at ${views.length} API nodes`
  const open = views.find((view) => !registered.includes(view))
  return `registered at ${registered.length} of ${views.length} API nodes; ${open?.address}: ${open ? describeView(open) : ''}`
}

function toHealth(phase: Phase): Health {
  if (phase === 'registered') return 'ok'
  return phase === 'left' ? 'off' : 'starting'
}
