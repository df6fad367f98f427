// One life of the rehearsal engine, top to bottom: arguments, port, load, serve, end.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEngineArgs, type EngineArgs } from './engine-argv.ts'
import { startCore, type CoreLink } from './engine-core-link.ts'
import { findCrash } from './engine-crashes.ts'
import { type Knobs, readKnobs } from './engine-knobs.ts'
import { createEngineLog, type EngineLog } from './engine-log.ts'
import { serveEngine } from './engine-serve.ts'
import { bindPort } from './engine-socket.ts'
import { firstCoreStage, runStage, type Stage, stageNames } from './engine-stages.ts'

const modules = ['vllm.entrypoints.openai.api_server', 'gonka_poc.entrypoint.api_router']

type Load = { args: EngineArgs; knobs: Knobs; log: EngineLog; core: CoreLink | undefined }

/** Never returns while the engine lives. */
export async function runEngine(argv: readonly string[]): Promise<void> {
  if (argv[0] === '--version' || argv[0] === '-V') return void process.stdout.write('Python 3.12.11\n')
  const module = argv[0] === '-m' ? (argv[1] ?? '') : ''
  if (!modules.includes(module)) {
    process.stderr.write(`engine: Error while finding module specification for '${module}' (ModuleNotFoundError)\n`)
    process.exit(1)
  }
  process.title = `python -m ${argv.slice(1).join(' ')}`
  const port = Number(/--port[= ](\d+)/.exec(argv.join(' '))?.[1] ?? 8000)
  const knobs = readKnobs(process.env, { module, port })
  const log = createEngineLog(knobs.generation)
  const args = parseEngineArgs(argv.slice(2), knobs.generation)
  if (typeof args === 'string') return printUsage(args)
  const handle = bindOrExit(args)
  const load: Load = { args, knobs, log, core: undefined }
  for (const stage of stageNames) await passStage(stage, load)
  if (load.core) await serveEngine({ args, knobs, log, core: load.core, handle })
}

function printUsage(error: string): void {
  process.stderr.write(`usage: api_server.py [-h] [--headless] [--api-server-count API_SERVER_COUNT]\n`)
  process.stderr.write(`api_server.py: error: ${error}\n`)
  process.exit(2)
}

function bindOrExit(args: EngineArgs): ReturnType<typeof bindPort> {
  try {
    return bindPort(args.host, args.port)
  } catch {
    process.stderr.write('Traceback (most recent call last):\n')
    process.stderr.write('  File "vllm/entrypoints/openai/api_server.py", line 1301, in setup_server\n')
    process.stderr.write('    sock.bind(addr)\nOSError: [Errno 98] Address already in use\n')
    process.exit(1)
  }
}

async function passStage(stage: Stage, load: Load): Promise<void> {
  const { args, knobs, log } = load
  if (stage === firstCoreStage) await beginCore(load)
  const core = coreName(load)
  if (knobs.stallAt === stage) await new Promise(() => setInterval(() => {}, 3_600_000))
  const crash = findCrash(knobs.crash)
  if (knobs.crash && (crash?.stage ?? 'compile') === stage && takeCrash(knobs)) return crashNow(load)
  await runStage(stage, { args, generation: knobs.generation, log, core }, knobs.loadMs, wait)
}

/** From here on SIGTERM is lost and SIGINT slow (facts/vllm.md 2.9). */
async function beginCore(load: Load): Promise<void> {
  const { knobs } = load
  process.on('SIGTERM', () => {})
  process.on('SIGINT', () => {
    if (knobs.deaf === 'all') return
    setTimeout(() => {
      load.core?.kill()
      process.removeAllListeners('SIGINT')
      process.kill(process.pid, 'SIGINT')
    }, knobs.interruptMs)
  })
  load.core = await startCore(knobs, pickGpus(process.env['CUDA_VISIBLE_DEVICES'], load))
}

function pickGpus(visible: string | undefined, { args, knobs }: Load): number[] {
  const told = (visible ?? '').split(',').filter((one) => /^\d+$/.test(one.trim()))
  if (told.length > 0) return told.map(Number)
  return Array.from({ length: args.tensorParallel }, (_, at) => knobs.slot * args.tensorParallel + at)
}

function coreName({ core, knobs }: Load): string {
  return core ? `EngineCore${knobs.generation === 'stock' ? '' : '_0'} pid=${core.pid}` : `APIServer pid=${process.pid}`
}

/** Counts the lives of this slot where a state folder is given: only the first `crashTimes` of them crash. */
function takeCrash(knobs: Knobs): boolean {
  if (!knobs.stateFolder) return true
  const path = join(knobs.stateFolder, `crashes-${knobs.slot}`)
  const before = readCount(path)
  if (before < knobs.crashTimes) writeFileSync(path, String(before + 1))
  return before < knobs.crashTimes
}

function readCount(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8')) || 0
  } catch {
    return 0
  }
}

function crashNow(load: Load): void {
  const { knobs, log, core } = load
  const crash = findCrash(knobs.crash) ?? { text: `RuntimeError: ${knobs.crash}`, exit: 1 }
  const traceback = `Traceback (most recent call last):\n  File "vllm/v1/engine/core.py", line 506, in run_engine_core\n${crash.text}`
  if (core) log.line('ERROR', 'core.py:515', `EngineCore failed to start.\n${traceback}`, coreName(load))
  else log.raw(traceback)
  if (core && crash.exit === 1) {
    log.raw(
      "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_0': 1}",
    )
  }
  core?.kill()
  if (crash.exit > 128) {
    process.removeAllListeners('SIGTERM')
    process.kill(process.pid, crash.exit === 139 ? 'SIGSEGV' : 'SIGKILL')
  }
  process.exit(crash.exit)
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
