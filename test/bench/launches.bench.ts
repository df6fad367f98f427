// What many launches cost the daemon itself: taken, kept on disk, listed, stopped, found again. All but one of them wait for their GPU, so
// that no engine's load is measured. And how long the end of an engine takes that hears no signal.
import { type LaunchClient, startLaunchWorld } from './launches.ts'
import { startDaemon } from './daemon.ts'
import type { BenchContext, BenchRow } from './row.ts'

/** As the issue has it. */
const many = 200
/** Clients at a time. */
const clients = 10
/** One after the other, for the time of one. */
const singles = 20

type Books = {
  perSecond: number
  /** Time of one launch among many others ÷ alone. */
  growth: number
  listMs: number
}

const ofBooks = (pick: (books: Books) => number) => async (context: BenchContext) => ({
  value: pick(await context.once(`books ${context.turn}`, () => measureBooks(context))),
})

const ofDeaf = (how: 'idle' | 'busy') => async (context: BenchContext) => {
  const all = (await context.once('deaf', () => measureDeaf(context)))[how]
  return { value: all[context.turn % all.length] ?? NaN }
}

export const rows: readonly BenchRow[] = [
  {
    name: 'launches: asked for, listed and stopped, 200 at once',
    unit: '/s',
    goal: { atLeast: 100 },
    measure: ofBooks((books) => books.perSecond),
  },
  // A pass over those that wait is in it, a few ms; one per waiting launch would be a hundred times as much.
  {
    name: 'launches: time of one among 200 others ÷ alone',
    unit: '',
    goal: { atMost: 3 },
    measure: ofBooks((books) => books.growth),
  },
  { name: 'launches: list of 200', unit: 'ms', goal: { atMost: 5 }, measure: ofBooks((books) => books.listMs) },
  {
    name: 'launches: daemon killed → started again, and lists 200',
    unit: 'ms',
    goal: { atMost: 1000 },
    async measure(context) {
      const shared = await startShared(context)
      const { client, world } = shared
      await inTurns(many, () => client.launch(0))
      process.kill(shared.daemon.pid, 'SIGKILL')
      await shared.daemon.stop()
      const began = performance.now()
      shared.daemon = await startDaemon(context, world)
      await whenListed(client, many)
      const value = performance.now() - began
      await clear(client)
      return { value }
    },
  },
  // Of the 30 s of VLLM_STOP_TIMEOUT_SECONDS a third is for running requests, a third for the engine to end by itself; then it is
  // killed, and proved gone with its GPU memory within 1.5 s. POST /stop answers after 27 s whatever happens.
  {
    name: 'launches: stop of an engine that hears no signal',
    unit: 's',
    goal: { atMost: 11.5 },
    measure: ofDeaf('idle'),
  },
  {
    name: 'launches: the same while it works on a request',
    unit: 's',
    goal: { atMost: 21.5 },
    measure: ofDeaf('busy'),
  },
]

/** One GPU, held by the first launch: whoever comes later waits. */
function startShared(context: BenchContext) {
  return context.once('launches', async () => {
    const shared = await startLaunchWorld(context, 'launches', {}, 1)
    const { launch_id: holder } = await shared.client.launch(0)
    await shared.client.whenReady(holder)
    // What they run through is compiled.
    await inTurns(many, () => shared.client.launch(0))
    await clear(shared.client)
    return { ...shared, holder }
  })
}

async function measureBooks(context: BenchContext): Promise<Books> {
  const { client } = await startShared(context)
  const alone = await timeOne(client)
  const began = performance.now()
  const ids = (await inTurns(many, () => client.launch(0))).map((one) => one.launch_id)
  await whenListed(client, many)
  const filled = performance.now()
  const among = await timeOne(client)
  const lists = await inTurns(singles, () => timed(() => client.list()), 1)
  const emptying = performance.now()
  await inTurns(ids.length, (at) => client.stop(ids[at] ?? ''))
  const took = filled - began + performance.now() - emptying
  await clear(client)
  context.log(`alone ${alone.toFixed(1)} ms, among others ${among.toFixed(1)} ms`)
  return { perSecond: (many / took) * 1000, growth: among / alone, listMs: pickMiddle(lists) }
}

/** Median ms from the request for a launch to its proved end. */
async function timeOne(client: LaunchClient): Promise<number> {
  const all = await inTurns(
    singles,
    () =>
      timed(async () => {
        const { launch_id: id } = await client.launch(0)
        const { state } = await client.stop(id)
        if (state !== 'stopped') throw new Error(`${id} is ${state}`)
      }),
    1,
  )
  return pickMiddle(all)
}

async function whenListed(client: LaunchClient, count: number): Promise<void> {
  for (const until = performance.now() + 60_000; ;) {
    const all = await client.list().catch(() => [])
    const waiting = all.filter((one) => one.queue_position !== undefined)
    if (waiting.length >= count) return
    if (performance.now() > until) throw new Error(`${waiting.length} launches wait after 60 s, not ${count}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

/** Nothing but the holder is left. What the daemon has forgotten itself, as it keeps 200, needs no more. */
async function clear(client: LaunchClient): Promise<void> {
  const [holder, ...others] = await client.list()
  await inTurns(others.length, async (at) => {
    const id = others[at]?.launch_id ?? ''
    await client
      .stop(id)
      .then(() => client.forget(id))
      .catch(() => {})
  })
  const left = await client.list()
  if (left.some((one) => one.launch_id !== holder?.launch_id)) throw new Error(`${left.length} launches are left`)
}

/** Three engines that idle and three that work are stopped at the same time. */
async function measureDeaf(context: BenchContext): Promise<Record<'idle' | 'busy', number[]>> {
  const set = { REHEARSAL_DEAF: 'all', REHEARSAL_TOKEN_MS: '1000' }
  const { client } = await startLaunchWorld(context, 'deaf', set, 6)
  const ids = (await inTurns(6, (gpu) => client.launch(gpu))).map((one) => one.launch_id)
  await inTurns(6, (at) => client.whenReady(ids[at] ?? ''))
  const [idle, busy] = [ids.slice(0, 3), ids.slice(3)]
  const leaving = new AbortController()
  for (const id of busy) await client.askForever(id, leaving.signal)
  const stop = (id: string) =>
    timed(async () => {
      const { state } = await client.stop(id)
      if (state !== 'stopped') throw new Error(`${id} is ${state} when its stop is answered`)
    })
  const [first, second] = await Promise.all([Promise.all(idle.map(stop)), Promise.all(busy.map(stop))])
  leaving.abort()
  return { idle: first.map((ms) => ms / 1000), busy: second.map((ms) => ms / 1000) }
}

async function inTurns<T>(count: number, run: (at: number) => Promise<T>, atOnce = clients): Promise<T[]> {
  const all: T[] = []
  const state = { next: 0 }
  const work = async () => {
    for (let at = state.next++; at < count; at = state.next++) all[at] = await run(at)
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return all
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await run()
  return performance.now() - began
}

const pickMiddle = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1] ?? NaN
