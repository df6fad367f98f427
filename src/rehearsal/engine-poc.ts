// Proof of Compute as the overlays and the plugin do it: one mining run and a queue of asked nonces, both worked off by the core.
import { randomUUID } from 'node:crypto'
import { type Artifact, type Callbacks, startCallbacks } from './engine-callbacks.ts'
import type { EngineArgs } from './engine-argv.ts'
import type { CoreLink } from './engine-core-link.ts'
import type { Knobs } from './engine-knobs.ts'
import { judgeValidation, type Verdict } from './engine-validation.ts'
import { renderVector } from './engine-vectors.ts'
import type { GenerateAsk, InitAsk, PocAsk } from './engine-poc-asks.ts'

export type JobView = {
  status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
  error?: string
  [more: string]: unknown
}
type Job = { id: string; ask: GenerateAsk; view: JobView; done: Promise<void>; finish: () => void; at: number }
type Run = {
  ask: InitAsk
  processed: number
  startedAt: number
  stop: AbortController
  callbacks: Callbacks | undefined
}

export interface Poc {
  isGenerating(): boolean
  /** undefined: already generating. */
  init(ask: InitAsk): 'started' | 'already'
  status(): object
  stop(): void
  /** undefined: the queue is full. */
  queue(ask: GenerateAsk): { id: string; count: number; done: Promise<void> } | undefined
  job(id: string): JobView | undefined
  queued(): number
}

const resultTtlMs = 300_000

export function createPoc(core: CoreLink, knobs: Knobs, args: EngineArgs): Poc {
  const state: { run: Run | undefined; jobs: Map<string, Job>; working: boolean } = {
    run: undefined,
    jobs: new Map(),
    working: false,
  }
  const queued = () =>
    [...state.jobs.values()]
      .filter(({ view }) => view.status === 'queued')
      .reduce((n, { ask }) => n + ask.nonces.length, 0)

  return {
    isGenerating: () => state.run !== undefined,
    init(ask) {
      if (state.run) return 'already'
      const callbacks = ask.url && !knobs.pocMute ? startCallbacks(ask, knobs) : undefined
      state.run = { ask, processed: 0, startedAt: performance.now(), stop: new AbortController(), callbacks }
      void mine(core, knobs, state.run).catch(() => {
        // A crashed task goes back to idle without a word (facts/vllm.md 2.10).
        state.run = undefined
      })
      return 'started'
    },
    status: () => describeRun(state.run),
    stop() {
      state.run?.stop.abort()
      state.run?.callbacks?.end()
      state.run = undefined
      for (const job of state.jobs.values()) if (job.view.status === 'queued') endJob(job, { status: 'cancelled' })
    },
    queue(ask) {
      if (queued() + ask.nonces.length > knobs.maxQueued) return undefined
      const job = createJob(ask)
      forgetOld(state.jobs)
      state.jobs.set(job.id, job)
      void workQueue(core, knobs, state)
      return { id: job.id, count: ask.nonces.length, done: job.done }
    },
    job: (id) => state.jobs.get(id)?.view,
    queued,
  }

  async function workQueue(link: CoreLink, settings: Knobs, all: typeof state): Promise<void> {
    if (all.working) return
    all.working = true
    for (;;) {
      const job = [...all.jobs.values()].find(({ view }) => view.status === 'queued')
      if (!job) break
      // Asked nonces starve while mining is active (contracts/poc-engine.md 2.1).
      if (all.run) await new Promise((resolve) => setTimeout(resolve, 20))
      else await workJob(link, settings, job, args)
    }
    all.working = false
  }
}

async function mine(core: CoreLink, knobs: Knobs, run: Run): Promise<void> {
  const { ask } = run
  const batch = ask.batchSize || 32
  const step = ask.nGroups * ask.nodeCount
  let nonce = ask.nodeId + ask.groupId * ask.nodeCount
  while (!run.stop.signal.aborted) {
    await core.step((batch * 1000) / knobs.noncesPerSecond)
    if (run.stop.signal.aborted || knobs.pocStuck) continue
    const artifacts = Array.from({ length: batch }, (_, at) => renderArtifact(ask, nonce + at * step))
    nonce += batch * step
    run.processed += batch
    run.callbacks?.add(artifacts)
  }
}

async function workJob(core: CoreLink, knobs: Knobs, job: Job, args: EngineArgs): Promise<void> {
  job.view = { status: 'running' }
  try {
    await core.step((job.ask.nonces.length * 1000) / knobs.noncesPerSecond)
  } catch (error) {
    return endJob(job, { status: 'failed', error: String(error) })
  }
  const artifacts = job.ask.nonces.map((nonce) => renderArtifact(job.ask, nonce))
  const { validation, stat } = job.ask
  const verdict: Verdict | undefined = validation && judgeValidation(artifacts, validation, stat)
  const encoding = { dtype: 'f16', k_dim: job.ask.params.k_dim, endian: 'le' }
  endJob(job, { status: 'completed', request_id: job.id, ...(verdict ?? { artifacts, encoding }) })
  if (!job.ask.url || job.ask.wait || knobs.pocMute) return
  const callbacks = startCallbacks(job.ask, { ...knobs, callbackMs: 1 }, job.id, args.servedNames[0])
  if (verdict) callbacks.sendVerdict(verdict)
  else callbacks.add(artifacts)
  callbacks.endWhenSent()
}

function createJob(ask: GenerateAsk): Job {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { id: randomUUID(), ask, view: { status: 'queued' }, done: promise, finish: resolve, at: performance.now() }
}

function endJob(job: Job, view: JobView): void {
  job.view = view
  job.at = performance.now()
  job.finish()
}

function forgetOld(jobs: Map<string, Job>): void {
  for (const [id, job] of jobs) {
    const over = job.view.status !== 'queued' && job.view.status !== 'running'
    if (over && performance.now() - job.at > resultTtlMs) jobs.delete(id)
  }
}

function describeRun(run: Run | undefined): object {
  if (!run) return { status: 'IDLE', config: null, stats: null }
  const { ask } = run
  const seconds = (performance.now() - run.startedAt) / 1000
  return {
    status: 'GENERATING',
    config: {
      block_hash: ask.blockHash,
      block_height: ask.blockHeight,
      public_key: ask.publicKey,
      node_id: ask.nodeId,
      node_count: ask.nodeCount,
      group_id: ask.groupId,
      n_groups: ask.nGroups,
      seq_len: ask.params.seq_len,
      k_dim: ask.params.k_dim,
    },
    stats: { total_processed: run.processed, nonces_per_second: seconds > 0 ? run.processed / seconds : 0 },
  }
}

function renderArtifact(ask: PocAsk, nonce: number): Artifact {
  const { blockHash, publicKey, params } = ask
  return { nonce, vector_b64: renderVector({ blockHash, publicKey, nonce, kDim: params.k_dim }) }
}
