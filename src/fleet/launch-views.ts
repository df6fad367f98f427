// All launches as they are told: those that clients asked for, with what their engines say, and the node's own among them.
import { computed, type ReadonlySignal } from '@preact/signals-core'
import { isTerminal, type LaunchResponse } from '../api/launches.ts'
import type { Health, PartStatus, Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { createStatus } from '../core/status-signal.ts'
import { watch } from '../core/watch.ts'
import type { Pause } from './launch-desk.ts'
import { type LaunchNews, type LaunchRecord, toLaunchId, toLaunchResponse } from './launch-record.ts'
import type { Member } from './roster.ts'

export type LaunchViewDeps = {
  records: { all: ReadonlySignal<readonly LaunchRecord[]>; problem: ReadonlySignal<Problem | undefined> }
  members: ReadonlySignal<readonly Member[]>
  pauses: ReadonlySignal<ReadonlyMap<string, Pause>>
  /** Who has what a launch in the queue waits for. */
  queue: ReadonlySignal<ReadonlyMap<string, string>>
  node: ReadonlySignal<LaunchResponse | undefined>
  clock: Clock
}

/** Oldest first. */
export function createLaunchViews(deps: LaunchViewDeps): ReadonlySignal<readonly LaunchResponse[]> {
  const { records, node, clock } = deps
  const news = computed(() => readNews(deps))
  const told = new WeakMap<LaunchRecord, { news: LaunchNews | undefined; response: LaunchResponse }>()
  // A change of one launch is told among hundreds that have no news.
  const tell = (record: LaunchRecord): LaunchResponse => {
    const its = isTerminal(record.state) ? undefined : news.value.get(record.id)
    const known = told.get(record)
    if (known && isSameNews(known.news, its)) return known.response
    const response = toLaunchResponse(record, its, () => clock.wall())
    told.set(record, { news: its, response })
    return response
  }
  return computed(() => {
    const own = node.value
    const asked = records.all.value.map(tell)
    if (!own) return asked
    const at = asked.findIndex((one) => one.created_at > own.created_at)
    return at < 0 ? [...asked, own] : asked.toSpliced(at, 0, own)
  })
}

function isSameNews(one: LaunchNews | undefined, other: LaunchNews | undefined): boolean {
  if (!one || !other) return one === other
  const names = Object.keys(one) as (keyof LaunchNews)[]
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
}

function readNews({ records, members, pauses, queue }: LaunchViewDeps): ReadonlyMap<string, LaunchNews> {
  const news = new Map<string, LaunchNews>()
  for (const [id, { why, percent, problem }] of pauses.value) news.set(id, { stage: why, percent, problem })
  for (const { life, plan } of members.value) {
    const id = toLaunchId(plan.owner)
    if (id === undefined) continue
    const phase = life.phase.value
    const ending = phase === 'ending' || phase === 'gone'
    // What keeps it from its end.
    const problem = ending ? life.problem.value : undefined
    news.set(id, { stage: phase, ...life.progress.value, ending, startedAt: life.startedAt.getTime(), problem })
  }
  let position = 0
  for (const { id, queued, state } of records.all.value)
    if (queued && !isTerminal(state))
      news.set(id, { stage: toQueueStage(queue.value.get(id)), queuePosition: (position += 1) })
  return news
}

const toQueueStage = (held: string | undefined) =>
  held === undefined ? 'waiting for GPUs' : `waiting for GPUs: ${held}`

/** For the status of the daemon: one line for all, one for each that has not ended. */
export function describeLaunches(
  all: ReadonlySignal<readonly LaunchResponse[]>,
  { records, clock }: LaunchViewDeps,
  ending: AbortSignal,
) {
  const status = createStatus('reading the launches', clock)
  const seen = computed(() => ({
    open: all.value.filter((one) => one.owner === undefined && !isTerminal(one.state)),
    problem: records.problem.value ?? all.value.find(isHeldUp)?.diagnosis,
  }))
  watch(
    seen,
    ({ open, problem }) => {
      const ready = open.filter((one) => one.state === 'ready').length
      const summary = open.length === 0 ? 'no launch' : `${ready} of ${open.length} launches are ready`
      if (problem) return status.set('degraded', `${summary}; ${problem.title}`, problem)
      // One that loads is a client's affair: the node itself is as well as before.
      status.set(open.length === 0 ? 'off' : 'ok', summary)
    },
    ending,
  )
  return { status: status.signal, parts: computed(() => seen.value.open.map(toPart)) }
}

/** It ends, and something does not let it: its GPUs are nobody's. */
const isHeldUp = ({ state, diagnosis }: LaunchResponse): boolean =>
  state === 'stopping' && (diagnosis?.code === 'gpu-memory-kept' || diagnosis?.code === 'engine-unkillable')

function toPart(one: LaunchResponse): PartStatus {
  const health: Health = one.state === 'ready' ? 'ok' : isHeldUp(one) ? 'degraded' : 'starting'
  const gpus = one.gpu_ids.length > 0 ? ` on GPU ${one.gpu_ids.join(', ')}` : ''
  const stage = one.progress?.stage === undefined ? '' : `: ${one.progress.stage}`
  return {
    name: `launch ${one.name ?? one.launch_id}`,
    health,
    summary: `${one.model}${gpus} is ${one.state}${stage}`,
    since: one.updated_at,
    ...(isHeldUp(one) && one.diagnosis && { problem: one.diagnosis }),
  }
}
