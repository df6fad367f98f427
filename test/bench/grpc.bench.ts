// gRPC against the same engine asked directly, and what readers who do not read cost.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { startProgram } from './programs.ts'
import type { BenchContext, BenchRow } from './row.ts'

export const rows: BenchRow[] = [
  {
    name: 'grpc: prompts/s ÷ direct, 1,000 concurrent prompts of one call',
    unit: '',
    goal: { atLeast: 0.8 },
    measure: (context) => compare(context, 'batch'),
  },
  {
    // Ours: the 0.8 is that of 1,000 concurrent prompts, above. grpc-js alone takes half of what a call costs.
    name: 'grpc: prompts/s ÷ direct, 1,000 concurrent calls of one prompt',
    unit: '',
    goal: { atLeast: 0.5 },
    measure: (context) => compare(context, 'calls'),
  },
  {
    name: 'grpc: CPU per call with one prompt, 1,000 at a time',
    unit: 'µs',
    goal: { atMost: 400 },
    async measure(context) {
      const { grpc } = await startWorld(context)
      const size = { prompts: context.quick ? 2000 : 4000, concurrent: 1000 }
      await context.once('warm calls', async () => void (await load('calls', grpc.port, size)))
      const before = await grpc.usage()
      await load('calls', grpc.port, size)
      // The untimed first round is work too.
      return { value: ((await grpc.usage()).cpu - before.cpu) / (size.prompts + size.concurrent) }
    },
  },
  ...['CompleteStream', 'EmbedStream', 'TokenStream'].map((method): BenchRow => ({
    name: `grpc: memory for 20 calls of ${method} of 320 MB in all that nobody reads`,
    unit: 'MB',
    goal: { atMost: 192 },
    async measure(context) {
      const engine = await startProgram(context, 'long-answers-program.ts', '')
      const grpc = await startGrpcProgram(context, engine.line)
      // Connections and what is compiled are not the readers' doing.
      await load('batch', grpc.port, { prompts: 200, concurrent: 1 })
      const before = await grpc.usage()
      const readers = Array.from({ length: 20 }, () => startLoad(method, grpc.port, { prompts: 1000, concurrent: 1 }))
      const most = await watchMemory(grpc.usage)
      for (const one of readers) one.kill('SIGKILL')
      engine.child.kill('SIGKILL')
      grpc.child.kill('SIGKILL')
      return { value: (most - before.rss) / 1e6 }
    },
  })),
  {
    name: 'grpc: from a client that leaves to the engine, 1,000 prompts in flight',
    unit: 'ms',
    goal: { atMost: 100 },
    async measure(context) {
      const { grpc, engine } = await startWorld(context)
      const reader = startLoad('CompleteStream', grpc.port, { prompts: 1000, concurrent: 1 })
      await until(async () => (await readRunning(engine)) >= 1000)
      reader.kill('SIGKILL')
      const left = performance.now()
      await until(async () => (await readRunning(engine)) < 1000, 1)
      return { value: performance.now() - left }
    },
  },
]

type Usage = { cpu: number; rss: number }

/** The same number of prompts at a time, from a client program of the same kind. */
async function compare(context: BenchContext, how: 'batch' | 'calls') {
  const { grpc, engine } = await startWorld(context)
  const size = { prompts: context.quick ? 2000 : 4000, concurrent: 1000 }
  await context.once(`warm ${how}`, async () => {
    await load('direct', engine, size)
    await load(how, grpc.port, size)
  })
  const rates = { direct: 0, ours: 0 }
  // In turns, so that whatever else runs on the machine hits both.
  for (let turn = 0; turn < 2; turn += 1) {
    rates.direct += await load('direct', engine, size)
    rates.ours += await load(how, grpc.port, size)
  }
  context.log(`direct ${(rates.direct / 2).toFixed(0)}/s, gRPC ${(rates.ours / 2).toFixed(0)}/s`)
  return { value: rates.ours / rates.direct }
}

/** The rehearsal engine, 10 ms per token, and our listener before it. */
function startWorld(context: BenchContext) {
  return context.once('grpc world', async () => {
    const engine = await freePort()
    const where = ['--served-model-name', 'tiny', '--host', '127.0.0.1', '--port', String(engine)]
    const args = ['-m', 'vllm.entrypoints.openai.api_server', '--model', '/models/tiny', ...where]
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/rehearsal/engine.ts'), ...args], {
      env: { ...process.env, REHEARSAL_LOAD_MS: '50', REHEARSAL_TOKEN_MS: '10' },
      stdio: 'ignore',
      detached: true,
    })
    context.after(() => void process.kill(-(child.pid ?? 0), 'SIGKILL'))
    await until(async () => (await fetch(`http://127.0.0.1:${engine}/health`)).ok)
    return { engine, grpc: await startGrpcProgram(context, String(engine)) }
  })
}

async function startGrpcProgram(context: BenchContext, engine: string) {
  const { child, next, line } = await startProgram(context, 'grpc-program.ts', engine)
  const usage = async () => {
    child.stdin?.write('\n')
    return JSON.parse(await next()) as Usage
  }
  return { child, port: Number(line), usage }
}

type Size = { prompts: number; concurrent: number }

function startLoad(how: string, port: number, { prompts, concurrent }: Size) {
  const args = [how, port, prompts, concurrent].map(String)
  return spawn(process.execPath, [join(import.meta.dirname, 'grpc-load-program.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function load(how: string, port: number, size: Size): Promise<number> {
  let text = ''
  for await (const part of startLoad(how, port, size).stdout.setEncoding('utf8')) text += part as string
  return (JSON.parse(text) as { perSecond: number }).perSecond
}

async function readRunning(engine: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${engine}/metrics`)).text()
  return Number(/num_requests_running\{[^}]*\} (\d+)/.exec(text)?.[1])
}

/** The most that is seen from the first work on until nothing has moved for two seconds. */
async function watchMemory(usage: () => Promise<Usage>): Promise<number> {
  const { cpu: before } = await usage()
  await until(async () => (await usage()).cpu > before + 200_000)
  const seen = { most: 0, cpu: 0, still: performance.now() }
  await until(async () => {
    const { cpu, rss } = await usage()
    seen.most = Math.max(seen.most, rss)
    if (cpu - seen.cpu > 20_000) seen.still = performance.now()
    seen.cpu = cpu
    return performance.now() - seen.still > 2000
  }, 50)
  return seen.most
}

async function until(probe: () => Promise<boolean>, every = 20): Promise<void> {
  const end = performance.now() + 60_000
  while (performance.now() < end) {
    if (await probe().catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, every))
  }
  throw new Error('waited 60 s in vain')
}
