// Says again and again how PoC goes: at every change of a round or of an engine's mining, and as time passes.
import { computed, type ReadonlySignal, signal } from '@preact/signals-core'
import type { PartStatus, Status } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createStatus } from '../core/status-signal.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { readCallbackError } from './callback-log.ts'
import { describePoc, judgeSeat, type PocFacts, type SeatFacts } from './describe.ts'
import { lookEvery, type PocPace } from './progress.ts'
import type { CallbackRelay } from './relay.ts'
import { groupOf } from './round.ts'
import type { Rounds } from './rounds.ts'
import type { Seat } from './seat.ts'

type Watched = {
  fleet: Pick<Fleet, 'planned' | 'upstreams' | 'engines'>
  log: Log
  rounds: Rounds
  relay: CallbackRelay
  saveFailure: () => string | undefined
  seats: () => readonly Seat[]
  pace: PocPace
  clock: Clock
  abort: AbortSignal
}

export function oversee(watched: Watched): {
  status: ReadonlySignal<Status>
  parts: ReadonlySignal<readonly PartStatus[]>
} {
  const { fleet, log, rounds, pace, clock, abort } = watched
  const status = createStatus('no round', clock)
  const parts = signal<readonly PartStatus[]>([])
  let since = { id: '', at: 0 }

  async function refresh(): Promise<void> {
    const round = rounds.round.peek()
    if (round && since.id !== round.id) since = { id: round.id, at: clock.now() }
    const facts = await readFacts(watched, since.at)
    const view = describePoc(facts)
    parts.value = view.parts
    status.set(view.health, view.summary, view.problem)
  }

  const wake = computed(() => {
    const planned = fleet.planned.value
    const engines = fleet.upstreams.value.map((one) => `${one.id} ${one.state.value}`)
    const seated = watched.seats().map((seat) => seat.state.value.kind)
    return [planned?.model, planned?.hasPoc, rounds.round.value?.id, ...engines, ...seated].join(' ')
  })
  const every = () => lookEvery(pace, rounds.round.peek())
  startLoop('poc status', refresh, { log, abort, every, wake, clock })
  return { status: status.signal, parts }
}

async function readFacts(
  { fleet, rounds, relay, saveFailure, seats, pace, clock }: Watched,
  roundAt: number,
): Promise<PocFacts> {
  const round = rounds.round.peek()
  const now = clock.now()
  const shared = { now, pace, relayed: relay.on }
  const known = seats()
    .map((seat) => toFacts(seat, relay))
    .filter(({ slot }) => !round || groupOf(round, slot))
  // Only an engine that seems to send nothing has its log read.
  const withLogs = known.map(async (seat): Promise<SeatFacts> => {
    const silent = round && judgeSeat(seat, shared, round)?.code === 'poc-no-callbacks'
    const logPath = silent ? fleet.engines.peek().find((one) => one.port === seat.port)?.logPath : undefined
    return logPath === undefined ? seat : { ...seat, logLine: await readCallbackError(logPath) }
  })
  const facts = await Promise.all(withLogs)
  return { ...shared, planned: fleet.planned.peek(), round, roundAt, seats: facts, saveFailure: saveFailure() }
}

function toFacts({ upstream, state }: Seat, relay: CallbackRelay): SeatFacts {
  const { slot, port } = upstream
  const serving = upstream.state.peek() === 'serving'
  return {
    slot,
    port,
    serving,
    // What an engine that is going or gone did last is no longer true.
    state: serving ? state.peek() : { kind: 'idle' },
    deliveries: relay.deliveries(slot),
  }
}
