// PoC of all engines together: rounds by slot (D7), one-off work, the callback relay, and whether mining is really going on.
// Engines that come late or again take their reserved group; parked engines and another model end the round.
import { computed, type ReadonlySignal } from '@preact/signals-core'
import type { PocBackendStatus, PocGenerate, PocInit, PocStatusAnswer, PocStopAnswer } from '../api/mlnode-poc.ts'
import type { ProfileName } from '../config/engine.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { watch } from '../core/watch.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { createEngineCalls, type EngineCalls } from './engine-calls.ts'
import { lookAt } from './look.ts'
import { oversee } from './oversee.ts'
import { judgeStatuses } from './pick.ts'
import { defaultPace, type PocPace } from './progress.ts'
import { createQueue, type EngineVersions, type QueueAnswer, readVersions } from './queue.ts'
import { type CallbackRelay, createRelay, type RelayTls } from './relay.ts'
import type { Round, Share } from './round.ts'
import { createRoundStore } from './round-store.ts'
import { createRounds, type InitOutcome, type Rounds } from './rounds.ts'
import { type Seats, startSeats } from './seats.ts'

export type PocDeps = {
  fleet: Pick<Fleet, 'planned' | 'upstreams' | 'engines'>
  stateDir: string
  /** /proc/sys/kernel/random/boot_id: a round does not survive a reboot. */
  bootId: string
  /** Launch profile of the engines, where it is known: it decides the spelling of the calls. */
  profile: () => ProfileName | undefined
  /** Base URL of our own node listener as the engines reach it; undefined: callbacks go to the API node directly, unwatched. */
  relayOrigin: string | undefined
  relayTls?: RelayTls
  log: Log
  clock?: Clock
  pace?: Partial<PocPace>
}

export interface Poc extends Component {
  readonly round: ReadonlySignal<Round | undefined>
  readonly relay: CallbackRelay
  /** In the round that goes on, or about to be. */
  readonly isMining: (upstream: Upstream) => boolean
  /** @param share what the caller gave us of the whole work: `wholeWork`, or a group of several */
  begin(request: PocInit, share: Share): Promise<InitOutcome>
  /** Never fails as a whole. Within 5 s. */
  stop(): Promise<PocStopAnswer>
  /** Asks every serving engine, all at once. Within 2 s. */
  engineStatus(): Promise<PocStatusAnswer>
  generate(request: PocGenerate, caller?: AbortSignal): Promise<QueueAnswer>
  result(id: string): Promise<QueueAnswer>
  /** Of the first serving engine; remembered. Undefined while none answered. Within 2 s. */
  versions(): Promise<EngineVersions | undefined>
}

/** How long an end with stop waits for the engines to stop mining; they are ended right after. */
const endBound = 4000

export function startPoc(deps: PocDeps): Poc {
  const { fleet, log, clock = systemClock } = deps
  const pace = { ...defaultPace, ...deps.pace }
  const ending = new AbortController()
  const abort = ending.signal
  const calls = createEngineCalls()
  const relay = createRelay({ ...deps, origin: deps.relayOrigin, tls: deps.relayTls ?? {}, clock })
  const store = createRoundStore(deps)
  const rounds = createRounds({ ...deps, seats: () => seats.all(), store, relay, clock })
  const urlFor = (round: Round, slot: number) => relay.urlFor(round.request.url, slot)
  const seats = startSeats(fleet.upstreams, { ...deps, calls, round: rounds.round, urlFor, clock, pace, abort })
  const isMining = (upstream: Upstream) => ['telling', 'mining'].includes(seats.of(upstream)?.state.peek().kind ?? '')
  const asks = createAsks({ ...deps, calls, seats, relay, abort })
  const saveFailure = () => store.failure
  const view = oversee({ fleet, log, rounds, relay, saveFailure, seats: () => seats.all(), pace, clock, abort })
  let ended: Promise<void> | undefined

  endRoundsWithTheirReason(fleet, rounds, abort)
  void relay.ready.then(() => rounds.resume())

  async function end(intent: Intent): Promise<void> {
    if (intent !== 'restart') await Promise.race([rounds.stop(), clock.wait(endBound, abort)])
    ending.abort()
    await Promise.all([store.flushed(), relay.close(), calls.close()]).catch((error: unknown) =>
      log.error({ err: error }, 'PoC did not end cleanly'),
    )
  }

  return {
    name: 'poc',
    ...view,
    ...asks,
    round: rounds.round,
    relay,
    isMining,
    begin: (request, share) => rounds.begin(request, share),
    stop: () => rounds.stop(),
    end: (intent) => (ended ??= end(intent)),
  }
}

type AskDeps = PocDeps & { calls: EngineCalls; seats: Seats; relay: CallbackRelay; abort: AbortSignal }

/** What is asked of the engines and changes no round. */
function createAsks(deps: AskDeps): Pick<Poc, 'engineStatus' | 'generate' | 'result' | 'versions'> {
  const { fleet, calls, seats, relay, abort } = deps
  const serving = () => fleet.upstreams.peek().filter((one) => one.state.peek() === 'serving')
  const withPoc = () => serving().filter((one) => one.hasPoc)
  const isMining = (upstream: Upstream) => seats.of(upstream)?.state.peek().kind === 'mining'
  const candidates = () => withPoc().map((upstream) => ({ upstream, mining: isMining(upstream) }))
  const queue = createQueue({ ...deps, candidates, urlFor: (url) => relay.urlFor(url) })
  return {
    engineStatus: () => askAll(withPoc(), calls, abort),
    async generate(request, caller) {
      await relay.ready
      return queue.generate(request, caller)
    },
    result: (id) => queue.result(id),
    versions: rememberVersions(serving, calls, abort),
  }
}

/** Parked by the broker, or another model planned: what was mined for is over. */
function endRoundsWithTheirReason(fleet: PocDeps['fleet'], rounds: Rounds, abort: AbortSignal): void {
  const parked = computed(() => fleet.upstreams.value.some((one) => one.state.value === 'parked'))
  watch(parked, (yes) => yes && rounds.end('the engines are parked'), abort)
  // At boot the plan comes later than the round; only one that was there and went is a reason.
  let wasSame = false
  const plan = computed(() => {
    const [round, planned] = [rounds.round.value, fleet.planned.value]
    if (!round) return 'no round'
    if (planned) return planned.model === round.model ? 'same' : 'other'
    // What was ordered instead is not here yet: engines that go on serving go on mining.
    const isHere = fleet.upstreams.value.some((one) => one.model === round.model && one.state.value === 'serving')
    return isHere ? 'kept' : 'none'
  })
  watch(
    plan,
    (now) => {
      if (now === 'other' || (now === 'none' && wasSame)) rounds.end('another model is planned, or none')
      wasSame = now === 'same' || (wasSame && now === 'kept')
    },
    abort,
  )
}

async function askAll(
  upstreams: readonly Upstream[],
  calls: EngineCalls,
  abort: AbortSignal,
): Promise<PocStatusAnswer> {
  const backends = await Promise.all(
    upstreams.map(async (upstream): Promise<PocBackendStatus> => {
      const seen = await lookAt(upstream, { calls, abort })
      if (seen.kind === 'unknown') return { port: upstream.port, status: 'ERROR', detail: seen.error }
      return { ...seen.body, port: upstream.port, status: seen.kind === 'generating' ? 'GENERATING' : seen.status }
    }),
  )
  return { status: judgeStatuses(backends), backends }
}

function rememberVersions(serving: () => Upstream[], calls: EngineCalls, abort: AbortSignal): Poc['versions'] {
  const known = new WeakMap<Upstream, EngineVersions>()
  return async () => {
    const [upstream] = serving()
    if (!upstream) return undefined
    const found = known.get(upstream) ?? (await readVersions(upstream, { calls, abort }))
    if (found) known.set(upstream, found)
    return found
  }
}
