// The machine's GPUs, asked on a slow schedule by short calls; answers on the request path come from the last inventory.
// A driver that stops answering never takes known GPUs away: the inventory ages, and the status says why.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { readProcStat } from '../core/proc.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { isThrottled } from './health.ts'
import type { GpuProcesses, Inventory } from './inventory.ts'
import { createBaselines, type MemoryBack, type MemoryLook, untilMemoryBack } from './memory-back.ts'
import { createNvidiaSmi, type NvidiaSmi } from './nvidia-smi.ts'
import { toGpuProblem } from './problems.ts'
import { parseMemory, parseProcesses, type Row } from './query.ts'
import { readInventory } from './read-inventory.ts'
import { pickVisible } from './visible.ts'

export interface Gpus extends Component {
  /** The GPUs that we may use (CUDA_VISIBLE_DEVICES), cached. */
  readonly inventory: ReadonlySignal<Inventory>
  /** Asks now; joins a question that has not begun yet. Never rejects. */
  refresh(): Promise<Inventory>
  processes(): Promise<GpuProcesses>
  /**
   * Waits until the memory of these GPUs (indices) is proved free again, or in use by others; `held` where `abort` came first.
   * @param how.onHeld told after each look that does not prove it
   */
  memoryBack(
    gpus: readonly number[],
    how: { abort: AbortSignal; onHeld?: (evidence: string) => void },
  ): Promise<MemoryBack>
}

export type GpusDeps = {
  nvidiaSmi: string
  visibleGpus?: string | undefined
  log: Log
  clock?: Clock
  /** Environment of nvidia-smi; a plain one where not given. */
  env?: Readonly<Record<string, string>>
  /** ms between questions (30 s: an engine's own metrics are fresher) and bound of one (15 s: driver locked by a start). */
  every?: number
  timeout?: number
}

/** A slow-down is a problem after so long. */
const throttledFor = 60_000

export function startGpus(deps: GpusDeps): Gpus {
  const { log, clock = systemClock, every = 30_000, timeout = 15_000 } = deps
  const smi = createNvidiaSmi({ program: deps.nvidiaSmi, timeout, ...(deps.env && { env: deps.env }) })
  const inventory = signal<Inventory>({ kind: 'unknown' })
  const status = createStatus('asking nvidia-smi', clock)
  const ending = new AbortController()
  const baselines = createBaselines()
  const memory = createMemory(clock)
  const read = createReader(smi, clock)

  const look = async (): Promise<Inventory> => {
    const { inventory: found, rows } = await read(ending.signal)
    if (ending.signal.aborted) return inventory.peek()
    if (found.kind === 'known') baselines.see(found.gpus)
    const seen = judgeSeen(found, rows, memory, deps.visibleGpus)
    const old = inventory.peek()
    if (seen.inventory.kind !== 'failed' || old.kind !== 'known') inventory.value = seen.inventory
    tell(status, seen.inventory, old, seen.problem)
    return inventory.peek()
  }
  const ask = shareQueue(look)
  const loop = startLoop('gpus', async () => void (await ask()), { log, abort: ending.signal, every, clock })

  return {
    name: 'gpu',
    status: status.signal,
    inventory,
    refresh: ask,
    processes: () => askProcesses(smi, ending.signal),
    async memoryBack(wanted, { abort, onHeld }) {
      const found = await untilMemoryBack({
        gpus: wanted,
        baselines,
        look: () => readMemory(smi, wanted, ending.signal),
        processes: () => askProcesses(smi, ending.signal),
        isAlive: (pid) => readProcStat(pid) !== undefined,
        clock,
        abort: AbortSignal.any([abort, ending.signal]),
        onHeld,
      })
      // Whoever plans with these GPUs must see what the others hold.
      if (found.kind === 'back' && found.others) void ask()
      return found
    },
    async end() {
      ending.abort()
      // Also a question that somebody else has asked: its nvidia-smi ends with it.
      await Promise.all([loop.ended, ask()])
    },
  }
}

/** Keeps what this driver understands between questions. */
function createReader(smi: NvidiaSmi, clock: Clock) {
  const learned: Parameters<typeof readInventory>[1] = {}
  return (abort: AbortSignal) => readInventory(smi, learned, { abort, clock })
}

/** Of these GPUs alone: the driver's trouble with another one keeps nobody waiting. */
async function readMemory(smi: NvidiaSmi, gpus: readonly number[], abort: AbortSignal): Promise<MemoryLook> {
  const what = ['--query-gpu=index,uuid,memory.used', '--format=csv,noheader,nounits', `--id=${gpus.join(',')}`]
  const answer = await smi.ask(what, abort)
  if (answer.kind === 'none') return { kind: 'none' }
  if (answer.kind === 'invalid') return { kind: 'failed', why: answer.text.slice(0, 200) }
  if (answer.kind === 'failed') return { kind: 'failed', why: `${answer.problem.title} (${answer.problem.evidence})` }
  return parseMemory(answer.stdout, gpus)
}

async function askProcesses(smi: NvidiaSmi, abort: AbortSignal): Promise<GpuProcesses> {
  const fields = '--query-compute-apps=pid,gpu_uuid,used_memory'
  const answer = await smi.ask([fields, '--format=csv,noheader,nounits'], abort)
  if (answer.kind === 'ok') return { kind: 'known', processes: parseProcesses(answer.stdout) }
  if (answer.kind === 'none') return { kind: 'none' }
  if (answer.kind === 'failed') return { kind: 'failed', problem: answer.problem }
  return { kind: 'failed', problem: toGpuProblem('gpu-query-failed', answer.text) }
}

/** What only time tells: GPUs that were here, and how long one is slowed down. */
function createMemory(clock: Clock) {
  const seen = new Map<string, string>()
  const slowSince = new Map<string, number>()
  return {
    missing(rows: readonly Row[]): string | undefined {
      const here = new Set(rows.map((row) => row.get('uuid')))
      for (const row of rows) seen.set(row.get('uuid') ?? '', `GPU ${row.get('index')} (${row.get('uuid')})`)
      return [...seen].find(([uuid]) => !here.has(uuid))?.[1]
    },
    throttled(rows: readonly Row[]): string | undefined {
      for (const row of rows) {
        const uuid = row.get('uuid') ?? ''
        if (!isThrottled(row)) slowSince.delete(uuid)
        else if (!slowSince.has(uuid)) slowSince.set(uuid, clock.now())
      }
      const slow = rows.find((row) => clock.now() - (slowSince.get(row.get('uuid') ?? '') ?? Infinity) >= throttledFor)
      return slow && `GPU ${slow.get('index')}: hardware slow-down for more than ${throttledFor / 1000} s`
    },
  }
}

/** The inventory that the node sees, and the worst problem of what is visible. */
function judgeSeen(
  found: Inventory,
  rows: readonly Row[],
  memory: ReturnType<typeof createMemory>,
  visible: string | undefined,
): { inventory: Inventory; problem: Problem | undefined } {
  if (found.kind === 'failed') return { inventory: found, problem: found.problem }
  if (found.kind !== 'known') return { inventory: found, problem: undefined }
  const picked = pickVisible(found.gpus, visible)
  const missing = memory.missing(rows)
  const throttled = memory.throttled(rows)
  const sick = picked.gpus.find((gpu) => gpu.problem)?.problem
  const problem = missing
    ? toGpuProblem('gpu-missing', missing)
    : (sick ??
      (picked.unknown !== undefined
        ? toGpuProblem('gpu-not-visible', `CUDA_VISIBLE_DEVICES: no GPU "${picked.unknown}" among ${found.gpus.length}`)
        : throttled
          ? toGpuProblem('gpu-throttled', throttled)
          : undefined))
  return { inventory: { ...found, gpus: picked.gpus }, problem }
}

function tell(status: StatusSignal, now: Inventory, before: Inventory, problem: Problem | undefined): void {
  if (now.kind === 'unknown') return
  if (now.kind === 'none') return status.set('off', `no GPU: ${now.why}`)
  if (now.kind === 'failed') {
    const known = before.kind === 'known'
    const age = known ? `; ${before.gpus.length} GPUs known since ${before.at.toISOString()}` : ''
    return status.set(known ? 'degraded' : 'failed', `${now.problem.title}${age}`, now.problem)
  }
  const driver = now.driverVersion ? `, driver ${now.driverVersion}` : ''
  const summary = `${now.gpus.length} × ${now.gpus[0]?.name ?? 'GPU'}${driver}`
  status.set(problem ? 'degraded' : 'ok', problem ? `${summary}: ${problem.title}` : summary, problem)
}

/** One at a time; whoever asks while one runs shares the next. */
function shareQueue<T>(run: () => Promise<T>): () => Promise<T> {
  const state: { running?: Promise<T>; next?: Promise<T> } = {}
  const start = (): Promise<T> => {
    delete state.next
    const running = run().finally(() => {
      if (state.running === running) delete state.running
    })
    state.running = running
    return running
  }
  return () => {
    if (!state.running) return start()
    state.next ??= state.running.then(start, start)
    return state.next
  }
}
