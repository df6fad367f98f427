// The end of the fleet: a restart leaves the engines for the next daemon, anything else ends them and proves it.
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Intent } from '../core/intent.ts'
import type { Log } from '../core/log.ts'
import { until } from '../core/watch.ts'
import type { Member, Roster } from './roster.ts'
import type { WishBook } from './wishes.ts'

export type EndDeps = {
  config: Config
  roster: Roster
  book: WishBook
  clock: Clock
  log: Log
  /** Adopts engines of an earlier daemon where that has not happened yet. */
  adopt: () => Promise<void>
}

/** Proof that processes, GPU memory and shared memory are gone comes on top of the two configured bounds. */
const proof = 20_000

/** ms; the state of the wishes is flushed on top of it. */
export function judgeEndBound({ engine }: Config): number {
  return engine.drainTimeout + engine.stopTimeout + proof
}

export async function endEngines(intent: Intent, deps: EndDeps): Promise<void> {
  const { roster, book, clock, log, config } = deps
  if (intent === 'restart') {
    for (const { life } of roster.members.peek()) life.leave()
    return keepState(book, clock)
  }
  const bound = new AbortController()
  const limit = judgeEndBound(config)
  const late = clock.wait(limit, bound.signal).then(() => {
    if (!bound.signal.aborted) log.error({ limit }, 'engines did not end in time')
  })
  await Promise.race([stopAll(deps), late])
  bound.abort()
  // What he wanted the GPUs for has ended with everything else.
  book.set('operator', undefined)
  await keepState(book, clock)
}

async function stopAll({ adopt, roster, log }: EndDeps): Promise<void> {
  // A stop in the first moments of a boot still has to end what the daemon before left running.
  await adopt().catch((error: unknown) => log.error({ err: error }, `engines not adopted: ${messageOf(error)}`))
  await Promise.all(roster.members.peek().map(stopOne))
}

/** Memory that does not come back after all processes are gone is waited for by the next daemon. */
async function stopOne({ life, parked }: Member): Promise<void> {
  const drain = life.phase.peek() === 'serving' && !parked
  const ended = new AbortController()
  const kept = until(life.problem, (problem) => problem?.code === 'gpu-memory-kept', ended.signal)
  const leave = kept.then(
    () => life.leave(),
    () => {},
  )
  await life.stop({ drain })
  ended.abort()
  await leave
}

async function keepState(book: WishBook, clock: Clock): Promise<void> {
  await Promise.race([book.flush(), clock.wait(2000)])
}
