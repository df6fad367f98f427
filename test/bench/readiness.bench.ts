// How soon it is known that an engine serves: health, model and PoC asked of an engine in a process of its own, whose log says nothing.
import { createEngineClient } from '../../src/engine/client.ts'
import { whenReady } from '../../src/engine/readiness.ts'
import { freePort } from '../support/free-port.ts'
import { pickMedian } from './outcome.ts'
import { startProgram } from './programs.ts'
import type { BenchContext, BenchRow } from './row.ts'

type Engine = Awaited<ReturnType<typeof startProgram>>

export const rows: readonly BenchRow[] = [
  {
    name: 'engine becomes healthy → noticed',
    unit: 'ms',
    goal: { atMost: 20 },
    async measure(context) {
      const engine = await startEngine(context)
      const delays: number[] = []
      for (let round = 0; round < 9; round += 1) delays.push(await noticeOnce(engine, 100 + round * 7))
      return { value: pickMedian(delays) }
    },
  },
]

/** The first look compiles what a daemon has compiled when an engine gets ready (proxy/warm.ts). */
function startEngine(context: BenchContext): Promise<Engine> {
  return context.once('engine that gets ready', async () => {
    const engine = await startProgram(context, 'readiness-program.ts', '')
    for (let round = 0; round < 3; round += 1) await noticeOnce(engine, 0)
    return engine
  })
}

async function noticeOnce(engine: Engine, after: number): Promise<number> {
  const port = await freePort()
  const client = createEngineClient(`http://127.0.0.1:${port}`)
  const noticed = whenReady(client, { model: 'tiny', port, hasPoc: true }, AbortSignal.timeout(20_000)).then(
    () => performance.timeOrigin + performance.now(),
  )
  engine.child.stdin?.write(`${port} ${after}\n`)
  const [healthy, at] = [Number(await engine.next()), await noticed]
  await client.close()
  return at - healthy
}
