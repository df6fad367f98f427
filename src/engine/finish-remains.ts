// What is left of an engine that died while no daemon was there: its GPU memory. A life that only ends, so that its GPUs stay
// leased until a look proves them free.
import { signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { BodyRecord } from '../core/body.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type MemoryEnd, untilMemoryFree } from './finish-memory.ts'
import type { EngineDeps, EngineLife, EngineSpec, Phase } from './life.ts'
import { removeLifeFolder, toLogPath } from './life-folder.ts'
import { Upstream } from './upstream.ts'

export type Remains = {
  record: BodyRecord
  spec: EngineSpec
  /** Why it died. */
  problem: Problem
  deps: EngineDeps
  clock: Clock
}

/** Returns at once, in phase `ending`. */
export function finishRemains({ record, spec, problem: cause, deps, clock }: Remains): EngineLife {
  const { id, folder } = record
  const { slot, port, model, hasPoc } = spec
  const upstream = new Upstream({ id, slot, port, model, hasPoc, state: 'ending' })
  const phase = signal<Phase>('ending')
  const problem = signal<Problem | undefined>(undefined)
  const [letGo, leave] = [new AbortController(), new AbortController()]
  const held: { strayLog?: string | undefined; memory?: MemoryEnd } = {}
  const log = deps.log.child({ engine: id })
  const wait = { spec, deps: { ...deps, log }, clock, problem, letGo: letGo.signal, leave: leave.signal }
  const end = async (): Promise<Awaited<EngineLife['ended']>> => {
    held.memory = await untilMemoryFree(wait)
    if (held.memory === 'left') return { end: { why: 'left' } }
    phase.value = 'gone'
    upstream.state.value = 'gone'
    held.strayLog = await removeLifeFolder(folder, deps, slot).catch((error: unknown) => {
      log.warn({ why: messageOf(error) }, 'folder of a dead engine not removed')
      return undefined
    })
    return { end: { why: 'found-dead', problem: cause }, problem: cause }
  }
  const ended = end()
  return {
    id,
    spec,
    upstream,
    phase,
    progress: signal({}),
    problem,
    cause: signal(cause),
    since: signal(new Date(clock.wall())),
    pid: undefined,
    adopted: true,
    get logPath() {
      return held.strayLog ?? toLogPath(deps.logDir, id)
    },
    get strayLog() {
      return held.strayLog
    },
    startedAt: new Date(record.launchedAt),
    park: () => {},
    unpark: () => {},
    stop: async () => (await ended).end,
    leave: () => leave.abort(),
    letGo: () => letGo.abort(),
    get memoryKept() {
      return held.memory === 'let-go' || held.memory === 'others'
    },
    ended,
  }
}
