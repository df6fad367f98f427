// The node's own model as a launch among the others: the configuration asks for it, the broker may change it, and its state is
// that of its engines. Its id stays over restarts.
import { randomUUID } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import { z } from 'zod'
import type { LaunchResponse, LaunchState } from '../api/launches.ts'
import { defaultBackoff, judgeBackoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { readJson, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'
import { watch } from '../core/watch.ts'
import { describeProblem, toDiagnosis, toProgress } from './launch-record.ts'
import type { FleetState } from './loop-body.ts'
import { isOfNode, type Member } from './roster.ts'
import { judgeEffective, type Wishes } from './wish.ts'

const schema = z.object({ version: z.literal(1), id: z.uuid(), createdAt: z.string() })

export type NodeLaunchDeps = {
  /** Where the launches are. */
  folder: string
  state: Pick<FleetState, 'planned' | 'report' | 'claim' | 'absent'>
  members: ReadonlySignal<readonly Member[]>
  wishes: ReadonlySignal<Wishes>
  /** The model of the configuration. */
  model: string | undefined
  stamp: () => string
  clock: Clock
  log: Log
  ending: AbortSignal
}

export interface NodeLaunch {
  /** Undefined where the node wants nothing and was not stopped. */
  readonly response: ReadonlySignal<LaunchResponse | undefined>
  /** Known from the start; the stored one, once the file was read. */
  readonly id: () => string
  /** Resolves after the first look; one that could not be had is repeated, and the stored id is taken then. Never rejects. */
  load(): Promise<void>
}

export function startNodeLaunch(deps: NodeLaunchDeps): NodeLaunch {
  const known = signal({ id: randomUUID() as string, createdAt: deps.stamp() })
  const view = computed(() => describe(deps))
  const changedAt = signal(known.peek().createdAt)
  const told = computed(() => `${view.value?.state} ${view.value?.error}`)
  watch(told, () => void (changedAt.value = deps.stamp()), deps.ending)
  return {
    id: () => known.peek().id,
    response: computed(() => {
      if (!view.value) return undefined
      const { id, createdAt } = known.value
      const updated_at = changedAt.value < createdAt ? createdAt : changedAt.value
      return { launch_id: id, created_at: createdAt, updated_at, ...view.value }
    }),
    load: async () => {
      const fresh = known.peek()
      const found = await load(deps, fresh)
      if (found) known.value = found
      else void loadLater(deps, fresh).then((late) => late && (known.value = late))
    },
  }
}

type Name = { id: string; createdAt: string }

/**
 * Never rejects: without the file the id is new with each start, and nothing else is lost. What is no record is kept aside; a file
 * that cannot be read now (no descriptor left, a disk that errs) stays as it is. @returns undefined then
 */
async function load({ folder, log }: NodeLaunchDeps, fresh: Name): Promise<Name | undefined> {
  const path = join(folder, 'node.json')
  const found = await readJson(path, schema)
  if (found.kind === 'value') return { id: found.value.id, createdAt: found.value.createdAt }
  if (found.kind === 'bad') {
    const { why, error } = found
    log.warn({ path, why }, error === undefined ? `no record of the node's own launch, kept as ${path}.bad` : unread)
    if (error !== undefined) return undefined
  }
  const aside = found.kind === 'bad' ? rename(path, `${path}.bad`) : Promise.resolve()
  await aside
    .then(() => writeJson(path, { version: 1, ...fresh }))
    .catch((error: unknown) => log.warn({ path, why: messageOf(error) }, "id of the node's own launch not stored"))
  return fresh
}

const unread = "id of the node's own launch cannot be read; it has a new one until it can"

async function loadLater(deps: NodeLaunchDeps, fresh: Name): Promise<Name | undefined> {
  const { clock, ending } = deps
  for (let tries = 1; ; tries += 1) {
    await clock.wait(judgeBackoff(defaultBackoff, tries, Math.random()), ending)
    if (ending.aborted) return undefined
    const found = await load(deps, fresh)
    if (found) return found
  }
}

type View = Omit<LaunchResponse, 'launch_id' | 'created_at' | 'updated_at'>

function describe({ state, members, wishes, model, clock }: NodeLaunchDeps): View | undefined {
  const effective = judgeEffective(wishes.value)
  if (effective.kind === 'nothing') return undefined
  const own = members.value.filter(isOfNode)
  const { progress } = state.report.value
  const claim = state.claim.value
  // One that is gone has its GPUs until it is struck from the list: until then nothing has stopped.
  const now = judgeState(effective.kind, progress.kind, own.length > 0)
  const failure = now === 'failed' && progress.kind === 'failed' ? progress.problem : undefined
  const loading = own.find((one) => one.life.phase.value === 'loading')
  const startedAt = loading?.life.startedAt.getTime()
  const absent = now === 'bootstrapping' ? state.absent.value : []
  const waiting = absent.find((one) => one.problem) ?? absent[0]
  const news = loading ? { ...loading.life.progress.value, startedAt } : waiting && { stage: waiting.stage }
  // What keeps it from its end.
  const held = now === 'stopping' ? own.find((one) => one.life.problem.value)?.life.problem.value : undefined
  const problem = failure ?? waiting?.problem ?? held
  return {
    model: (effective.kind === 'run' ? effective.ask.model : undefined) ?? own[0]?.plan.model ?? model ?? '',
    gpu_ids: [...new Set([...own.flatMap((one) => one.plan.gpus), ...(claim === 'all' ? [] : claim)])].toSorted(
      (a, b) => a - b,
    ),
    task: 'generate',
    state: now,
    error: failure ? describeProblem(failure) : null,
    owner: 'configuration',
    ...(problem && { diagnosis: toDiagnosis(problem) }),
    ...(now === 'bootstrapping' && news && { progress: toProgress(news, () => clock.wall()) }),
  }
}

function judgeState(wish: 'run' | 'stopped', progress: string, hasEngines: boolean): LaunchState {
  if (wish === 'stopped') return hasEngines ? 'stopping' : 'stopped'
  if (progress === 'serving') return 'ready'
  return progress === 'failed' ? 'failed' : 'bootstrapping'
}
