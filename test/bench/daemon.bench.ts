// The whole daemon in a rehearsal's world: how fast it boots, announces and mines, and what it costs when nothing happens.
import { setTimeout as wait } from 'node:timers/promises'
import { type Boot, measureBoot } from './boot.ts'
import { forgetBefore, readCpuMs, readRssMb, startDaemon, startWorld, whenMarked, whenRegistered } from './daemon.ts'
import { load } from './programs.ts'
import type { BenchContext, BenchRow } from './row.ts'

/** One boot per turn, shared by the rows that look at it. */
const ofBoot = (pick: (boot: Boot) => number) => async (context: BenchContext) => ({
  value: pick(await context.once(`boot ${context.turn}`, () => measureBoot(context))),
})

/** Registered, nothing mines, nobody asks; the first minute of a life is over where there is time for it. */
function startIdle(context: BenchContext) {
  return context.once('idle', async () => {
    const world = await startWorld(context, 'idle')
    await forgetBefore(world)
    const { pid } = await startDaemon(context, world)
    await whenRegistered(world)
    await whenMarked(world, 'listening', 2)
    await wait(context.quick ? 3000 : 20_000)
    return { pid }
  })
}

export const rows: readonly BenchRow[] = [
  {
    name: 'process start → listening',
    unit: 'ms',
    goal: { atMost: 300 },
    measure: ofBoot((boot) => boot.listeningMs),
  },
  {
    name: 'process start → first answer',
    unit: 'ms',
    goal: { atMost: 800 },
    measure: ofBoot((boot) => boot.answeringMs),
  },
  {
    name: 'engine ready → registration sent',
    unit: 'ms',
    goal: { atMost: 20 },
    measure: ofBoot((boot) => boot.registrationMs),
  },
  {
    name: 'engine ready → every engine generating, 2 engines',
    unit: 'ms',
    goal: { atMost: 40 },
    measure: ofBoot((boot) => boot.generatingMs),
  },
  { name: 'RSS after boot', unit: 'MB', goal: { atMost: 110 }, measure: ofBoot((boot) => boot.rssMb) },
  {
    name: 'idle CPU of the booted daemon',
    unit: '%',
    goal: { atMost: 0.3 },
    async measure(context) {
      const { pid } = await startIdle(context)
      const ms = context.quick ? 10_000 : 20_000
      const before = await readCpuMs(pid)
      await wait(ms)
      return { value: (((await readCpuMs(pid)) - before) / ms) * 100 }
    },
  },
  {
    name: 'RSS over 100,000 requests, at its highest',
    unit: 'MB',
    goal: { atMost: 150 },
    measure: async (context) => ({ value: Math.max(...(await measureUnderLoad(context))) }),
  },
  {
    name: 'RSS after 100,000 requests ÷ after 40,000',
    unit: '',
    goal: { atMost: 1.1 },
    async measure(context) {
      const all = await measureUnderLoad(context)
      return { value: (all.at(-1) ?? NaN) / (all[1] ?? NaN) }
    },
  },
]

/** RSS after each fifth of 100,000 requests through the inference listener to (rehearsal) engines: a daemon of its own for each turn. */
function measureUnderLoad(context: BenchContext): Promise<number[]> {
  return context.once(`under load ${context.turn}`, async () => {
    const world = await startWorld(context, 'load')
    await forgetBefore(world)
    const daemon = await startDaemon(context, world)
    await whenRegistered(world)
    await whenMarked(world, 'listening', 2)
    const { inference } = world.ports
    const all: number[] = []
    const requests = context.quick ? 2000 : 20_000
    for (let part = 0; part < 5; part += 1) {
      await load({ port: inference, connections: 32, requests })
      all.push(await readRssMb(daemon.pid))
    }
    await daemon.stop()
    context.log(`RSS after each fifth: ${all.map(Math.round).join(' ')} MB`)
    return all
  })
}
