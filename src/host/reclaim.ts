// Whether the cloud is about to take this instance away: spot notices, rebalance advice, Auto Scaling, maintenance.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createStatus } from '../core/status-signal.ts'
import type { Metadata, MetadataAnswer } from './metadata.ts'
import { toHostProblem } from './problems.ts'

/** leave: the node must be gone at `at`. advise: it may go on. */
export type Notice = {
  kind: 'spot' | 'lifecycle' | 'maintenance' | 'rebalance'
  urgency: 'leave' | 'advise'
  /** terminate, stop, hibernate; the lifecycle state; the maintenance code. */
  action: string
  at?: Date
  evidence: string
}

export interface Reclaim extends Component {
  readonly notice: ReadonlySignal<Notice | undefined>
}

const items = {
  spot: 'meta-data/spot/instance-action',
  lifecycle: 'meta-data/autoscaling/target-lifecycle-state',
  maintenance: 'meta-data/events/maintenance/scheduled',
  rebalance: 'meta-data/events/recommendations/rebalance',
} as const

/** Most urgent first. */
const kinds = ['spot', 'lifecycle', 'maintenance', 'rebalance'] as const

/** So many looks are a minute. */
const rarely = 12

/** What only advises may come a minute late, and a machine that is in no group, as it has said, is not taken by one. */
function isDue(kind: Notice['kind'], { looks, grouped }: { looks: number; grouped: boolean }): boolean {
  return kind === 'spot' || (kind === 'lifecycle' && grouped) || looks % rarely === 0
}

/** So many questions without an answer, and never one before: this machine has no such service. A busy one misses a few. */
const absentAfter = 3

/** Polls every 5 s: a spot notice comes 2 min ahead, and an Auto Scaling group tells its own. A machine without the service is asked once a minute. */
export function startReclaim(deps: { metadata: Metadata; log: Log; clock?: Clock; every?: number }): Reclaim {
  const { metadata, log, clock = systemClock, every = 5000 } = deps
  const status = createStatus('asking the metadata service', clock)
  const notice = signal<Notice | undefined>(undefined)
  const known = new Map<Notice['kind'], Notice>()
  const ending = new AbortController()
  const service = { answered: false, missed: 0, pauseUntil: 0, looks: 0, grouped: true }
  const look = async (abort: AbortSignal): Promise<void> => {
    if (clock.now() < service.pauseUntil) return
    const first = await metadata.get(items.spot, abort)
    if (abort.aborted) return
    if (first.kind === 'absent' && !service.answered) {
      service.missed += 1
      if (service.missed >= absentAfter) service.pauseUntil = clock.now() + every * rarely
      return status.set('off', `no instance metadata: ${first.why}`)
    }
    // What it said last holds.
    if (first.kind === 'absent') return
    service.answered = true
    for (const kind of kinds.filter((one) => isDue(one, service))) {
      const answer = kind === 'spot' ? first : await metadata.get(items[kind], abort)
      keep(known, kind, answer)
      if (kind === 'lifecycle' && answer.kind !== 'absent') service.grouped = answer.kind === 'value'
    }
    service.looks += 1
    const worst = pickWorst([...known.values()])
    if (!isSame(worst, notice.peek())) {
      if (worst) log.warn({ notice: worst }, 'the cloud announces a reclaim')
      notice.value = worst
    }
    if (worst) status.set('degraded', describeNotice(worst), toNoticeProblem(worst))
    else status.set('ok', 'no reclaim announced')
  }
  if (!metadata.enabled) status.set('off', 'instance metadata is switched off')
  const loop = metadata.enabled
    ? startLoop('reclaim', look, { log, abort: ending.signal, every, clock })
    : { ended: Promise.resolve() }
  return {
    name: 'reclaim',
    status: status.signal,
    notice,
    async end() {
      ending.abort()
      await loop.ended
    },
  }
}

/** A notice goes only when the service says that it is gone; a service that does not answer takes nothing back. */
function keep(known: Map<Notice['kind'], Notice>, kind: Notice['kind'], answer: MetadataAnswer): void {
  if (answer.kind === 'absent') return
  const found = answer.kind === 'value' ? parseNotice(kind, answer.text) : undefined
  if (found) known.set(kind, found)
  else known.delete(kind)
}

/** Pure. Undefined: this answer announces nothing. */
export function parseNotice(kind: Notice['kind'], text: string): Notice | undefined {
  const evidence = text.replaceAll(/\s+/g, ' ').slice(0, 300)
  if (kind === 'lifecycle') {
    if (!/^(Terminated|Detached)/i.test(text)) return undefined
    return { kind, urgency: 'leave', action: text.slice(0, 40), evidence }
  }
  const value = parseObject(text)
  if (!value) return undefined
  if (kind === 'rebalance')
    return { kind, urgency: 'advise', action: 'rebalance', ...whenOf(value['noticeTime']), evidence }
  if (kind === 'spot') {
    return {
      kind,
      urgency: 'leave',
      action: textOf(value['action']) || 'terminate',
      ...whenOf(value['time']),
      evidence,
    }
  }
  return {
    kind,
    urgency: 'advise',
    action: textOf(value['Code']) || 'maintenance',
    ...whenOf(value['NotBefore']),
    evidence,
  }
}

/** An object, or the first active one of a list (maintenance events keep completed and cancelled ones). */
function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    const all: unknown[] = Array.isArray(parsed) ? parsed : [parsed]
    return all.filter(isObject).find((one) => !/^(completed|canceled|cancelled)$/i.test(textOf(one['State'])))
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function whenOf(value: unknown): { at?: Date } {
  const at = new Date(textOf(value))
  return Number.isNaN(at.getTime()) ? {} : { at }
}

function pickWorst(notices: readonly Notice[]): Notice | undefined {
  return kinds.map((kind) => notices.find((one) => one.kind === kind)).find((one) => one !== undefined)
}

function isSame(one: Notice | undefined, other: Notice | undefined): boolean {
  return one?.kind === other?.kind && one?.evidence === other?.evidence
}

function describeNotice({ kind, action, at }: Notice): string {
  return `${kind}: ${action}${at ? ` at ${at.toISOString()}` : ''}`
}

function toNoticeProblem(notice: Notice) {
  const code =
    notice.kind === 'rebalance'
      ? 'rebalance-recommended'
      : notice.kind === 'maintenance'
        ? 'maintenance-scheduled'
        : 'reclaim-notice'
  return toHostProblem(code, notice.evidence)
}
