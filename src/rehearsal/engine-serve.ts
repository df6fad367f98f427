// From ready to gone: listens, serves, and ends as vLLM ends (facts/vllm.md 2.4 and 2.9).
import { createServer, type Server } from 'node:http'
import type { EngineArgs } from './engine-argv.ts'
import type { CoreLink } from './engine-core-link.ts'
import { createDecoder } from './engine-decoder.ts'
import type { Knobs } from './engine-knobs.ts'
import type { EngineLog } from './engine-log.ts'
import { createCounters } from './engine-metrics.ts'
import { writeMark } from './engine-marks.ts'
import { createPoc } from './engine-poc.ts'
import { answerEngine } from './engine-routes.ts'
import type { Session } from './engine-session.ts'
import { type bindPort, listenOn } from './engine-socket.ts'
import { warmAnswers } from './engine-warm.ts'

type Ready = {
  args: EngineArgs
  knobs: Knobs
  log: EngineLog
  core: CoreLink
  handle: ReturnType<typeof bindPort>
}

export async function serveEngine({ args, knobs, log, core, handle }: Ready): Promise<void> {
  const health = { coreDead: false, lateUntil: knobs.lateHealthMs > 0 ? Infinity : 0 }
  const counters = createCounters()
  const session: Session = {
    args,
    knobs,
    log,
    core,
    counters,
    decoder: createDecoder(core, counters, knobs.tokenMs),
    poc: createPoc(core, knobs, args),
    startedAt: Math.floor(Date.now() / 1000),
    isHealthy: () => !health.coreDead && performance.now() >= health.lateUntil,
  }
  const server = createServer({ keepAliveTimeout: 5000 }, (request, response) => {
    answerEngine(session, request, response).catch(() => response.destroy())
  })
  if (knobs.marks !== '') await warmAnswers(session)
  try {
    await listenOn(server, handle)
    if (knobs.lateHealthMs > 0) health.lateUntil = performance.now() + knobs.lateHealthMs
    writeMark(knobs.marks, knobs.slot, 'listening')
  } catch {
    // Another one bound at the same moment and listened first.
    log.raw('OSError: [Errno 98] Address already in use')
    leave(session, 1)
  }
  log.raw('INFO:     Started server process\nINFO:     Waiting for application startup.')
  log.raw('INFO:     Application startup complete.')
  watchSignals(session, server)
  watchCore(session, health)
  if (knobs.hangAfterMs !== undefined) setTimeout(() => core.hang(), knobs.hangAfterMs)
  if (knobs.exitAfterMs !== undefined) setTimeout(() => leave(session, knobs.exitCode), knobs.exitAfterMs)
}

function watchSignals(session: Session, server: Server): void {
  const { knobs, log } = session
  const end = () => {
    log.line('INFO', 'launcher.py:80', 'Shutting down FastAPI HTTP server.')
    server.close()
    // Requests in flight end as HTTP 500, and get the chance to be written.
    if (!knobs.orphan) session.core.kill()
    setTimeout(() => leave(session, 0), 100)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.removeAllListeners(signal)
    const isDeaf = knobs.deaf === 'all' || (knobs.deaf === 'term' && signal === 'SIGTERM')
    if (isDeaf) process.on(signal, () => {})
    else process.once(signal, end)
  }
}

/** The core's death: /health 503 at once, and after the watchdog's time the exit, with code 0. */
function watchCore(session: Session, health: { coreDead: boolean }): void {
  void session.core.died.then(() => {
    health.coreDead = true
    session.log.line(
      'ERROR',
      'core_client.py:562',
      'Engine core proc EngineCore_0 died unexpectedly, shutting down client.',
    )
    setTimeout(() => leave(session, 0), session.knobs.watchdogMs)
  })
}

function leave(session: Session, code: number): void {
  if (session.knobs.orphan) session.core.letGo()
  else session.core.kill()
  process.exit(code)
}
