// The models of this machine: the one that is wanted is found or brought, and the model routes of the MLNode API
// (contracts/node-api.md 1.8) are answered.
import { computed, type ReadonlySignal, signal, type Signal } from '@preact/signals-core'
import { rm } from 'node:fs/promises'
import type { PartStatus, Status } from '../api/status.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import { Refusal } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { judgeWorst } from '../core/machine.ts'
import { isFolder, listRepos, renderRepoFolder } from './cache-layout.ts'
import { createCachePlace, type CachePlace } from './cache-place.ts'
import { describeFiles } from './describe-files.ts'
import { createDownloadDesk, type DownloadDesk } from './download-desk.ts'
import type { DownloadDeps } from './download.ts'
import type { Files, ModelRef, ModelSpace, ModelState } from './files.ts'
import { type DiskRoots, systemRoots, type VolumeState } from './find-volume.ts'
import { createHub, type Hub } from './hub.ts'
import { type Local, readLocalFolder, readLocalRepo } from './local-files.ts'
import { checkRepository, judgeRef, renderRef } from './model-ref.ts'
import { toModelProblem } from './problems.ts'
import { startWanted, type Wanted } from './wanted.ts'

export interface Models extends Component {
  /** Starts to look, and to download; the same signal for the same model. */
  files(ref: ModelRef): ReadonlySignal<Files>
  /** Only these are still wanted: the others are neither looked for nor told of any more. */
  keepOnly(refs: readonly ModelRef[]): void
  /** What the model routes ask for. */
  readonly onDisk: ModelsOnDisk
  /** Where models are kept now; it may move when the data volume is mounted. */
  hfHome(): Promise<string>
}

export interface ModelsOnDisk {
  /** @throws Refusal 400 */
  status(ref: ModelRef): Promise<ModelState>
  /** ignored: HF_HUB_OFFLINE. @throws Refusal 400, 409 `already-downloading`, 429 `too-many-downloads` */
  download(ref: ModelRef): Promise<'started' | 'ignored'>
  /**
   * Ends a download, else deletes the whole repository.
   * @param users who has its files open: it is not deleted below them
   * @throws Refusal 400, 404 `model-not-cached`, 409 `model-in-use`
   */
  remove(ref: ModelRef, users?: readonly string[]): Promise<'deleted' | 'cancelled'>
  list(): Promise<readonly { model: ModelRef; status: ModelState['status'] }[]>
  space(): Promise<ModelSpace>
}

export type ModelsDeps = {
  settings: {
    hfHome?: string | undefined
    offline: boolean
    token?: string | undefined
    endpoint: string
    volume?: string | undefined
    volumeMount: string
  }
  /** Of startVolume; without it MODEL_VOLUME is still honoured, but nobody waits for it. */
  volume?: ReadonlySignal<VolumeState>
  log: Log
  clock?: Clock
  roots?: DiskRoots
  /** ms: a model that is missing or refused is looked for again. */
  retryEvery?: number
  /** Of downloads, ms (download.ts, hub.ts). */
  retryFirst?: number
  giveUpAfter?: number
  stallTimeout?: number
}

type WantedModel = Wanted & { ref: ModelRef; over: AbortController }

/** What the functions below share. */
type Shop = {
  deps: ModelsDeps
  clock: Clock
  place: CachePlace
  hub: Hub
  desk: DownloadDesk
  wanted: Signal<ReadonlyMap<string, WantedModel>>
  ending: AbortController
}

export function startModels(deps: ModelsDeps): Models {
  const { settings, clock = systemClock, roots = systemRoots, stallTimeout } = deps
  const place = createCachePlace(settings, roots)
  const hub = createHub({ endpoint: settings.endpoint, token: settings.token, ...(stallTimeout && { stallTimeout }) })
  const desk = createDownloadDesk(() => prepare(deps, place, hub), clock)
  const wanted = signal<ReadonlyMap<string, WantedModel>>(new Map())
  const shop: Shop = { deps, clock, place, hub, desk, wanted, ending: new AbortController() }
  return {
    name: 'models',
    status: computed<Status>(() => judgeStatus([...wanted.value.values()], clock)),
    parts: computed<readonly PartStatus[]>(() => [...wanted.value.values()].map((one) => toPart(one, clock))),
    files: (ref) => want(shop, ref).files,
    keepOnly: (refs) => keepOnly(shop, refs),
    onDisk: {
      async status(ref) {
        checkRepository(ref)
        return readState(shop, ref)
      },
      download: async (ref) => download(shop, ref),
      remove: (ref, users) => remove(shop, ref, users),
      list: () => list(shop),
      space: () => place.measure(),
    },
    hfHome: () => place.home(),
    end: () => end(shop),
  }
}

async function prepare(deps: ModelsDeps, place: CachePlace, hub: Hub): Promise<DownloadDeps> {
  const { log, clock, retryFirst, giveUpAfter } = deps
  await place.checkWritable()
  return {
    hub,
    cache: await place.cache(),
    log,
    ...(clock && { clock }),
    ...(retryFirst !== undefined && { retryFirst }),
    ...(giveUpAfter !== undefined && { giveUpAfter }),
  }
}

async function look({ place }: Shop, ref: ModelRef): Promise<Local> {
  return judgeRef(ref) === 'folder' ? readLocalFolder(ref) : readLocalRepo(await place.cache(), ref)
}

function want(shop: Shop, ref: ModelRef): WantedModel {
  const { deps, wanted } = shop
  const key = toKey(ref)
  const known = wanted.peek().get(key)
  if (known) return known
  const over = new AbortController()
  const options = {
    ref,
    volume: deps.volume ?? signal<VolumeState>({ kind: 'none' }),
    offline: deps.settings.offline,
    desk: shop.desk,
    look: (one: ModelRef) => look(shop, one),
    log: deps.log,
    clock: shop.clock,
    abort: AbortSignal.any([shop.ending.signal, over.signal]),
    retryEvery: deps.retryEvery ?? 60_000,
  }
  const one = { ...startWanted(options), ref, over }
  wanted.value = new Map([...wanted.peek(), [key, one]])
  return one
}

const toKey = (ref: ModelRef) => `${renderRef(ref)}${ref.weightless ? ' weightless' : ''}`

function keepOnly({ wanted }: Shop, refs: readonly ModelRef[]): void {
  const keys = new Set(refs.map(toKey))
  const others = [...wanted.peek()].filter(([key]) => !keys.has(key))
  if (others.length === 0) return
  for (const [, one] of others) one.over.abort()
  wanted.value = new Map([...wanted.peek()].filter(([key]) => keys.has(key)))
}

async function readState(shop: Shop, ref: ModelRef): Promise<ModelState> {
  const state = shop.desk.find(ref)?.state.peek()
  if (state?.kind === 'running') {
    const { startedAt, bytesDone, bytesTotal } = state
    return { status: 'DOWNLOADING', startedAt, bytesDone, bytesTotal }
  }
  const local = await look(shop, ref)
  if (local.kind === 'complete') return { status: 'DOWNLOADED' }
  const failed = state?.kind === 'failed' ? `${state.problem.title}: ${state.problem.evidence}` : undefined
  const error = failed ?? (local.kind === 'partial' ? local.wrong.slice(0, 5).join('; ') : undefined)
  return { status: local.kind === 'partial' ? 'PARTIAL' : 'NOT_FOUND', ...(error && { error }) }
}

function download(shop: Shop, ref: ModelRef): 'started' | 'ignored' {
  checkRepository(ref)
  if (shop.deps.settings.offline) return 'ignored'
  if (shop.desk.find(ref)?.state.peek().kind === 'running')
    throw new Refusal('already-downloading', 409, `${renderRef(ref)} is being downloaded already`)
  const { ended } = shop.desk.start(ref)
  lookAgain(shop, ref.repo)
  void ended.then(() => lookAgain(shop, ref.repo))
  return 'started'
}

async function remove(shop: Shop, ref: ModelRef, users: readonly string[] = []): Promise<'deleted' | 'cancelled'> {
  checkRepository(ref)
  if (await shop.desk.cancel(ref)) return 'cancelled'
  const folder = renderRepoFolder(await shop.place.cache(), ref.repo)
  const isHere = (await isFolder(folder)) && (ref.revision === undefined || (await look(shop, ref)).kind !== 'absent')
  if (!isHere) throw new Refusal('model-not-cached', 404, `${renderRef(ref)} is not in ${folder}`)
  if (users.length > 0)
    throw new Refusal('model-in-use', 409, `${ref.repo} is in use by ${users.join(', ')}`, {
      remedy: 'Stop inference first with POST /api/v1/inference/down',
    })
  shop.desk.forget(ref)
  for (const one of wantedOf(shop, ref.repo))
    one.files.value = { kind: 'missing', problem: toModelProblem('model-removed', ref.repo) }
  await rm(folder, { recursive: true, force: true })
  return 'deleted'
}

/** What was missing, or removed on purpose, may be there now. */
function lookAgain(shop: Shop, repo: string): void {
  for (const one of wantedOf(shop, repo)) {
    if (one.files.peek().kind === 'missing') one.files.value = { kind: 'looking' }
    one.wake.value += 1
  }
}

function wantedOf({ wanted }: Shop, repo: string): WantedModel[] {
  return [...wanted.peek().values()].filter((one) => one.ref.repo === repo)
}

async function list(shop: Shop): ReturnType<ModelsOnDisk['list']> {
  const here = await listRepos(await shop.place.cache())
  const repos = new Set([...here, ...shop.desk.running.map((one) => one.ref.repo)])
  const states = [...repos].toSorted().map(async (repo) => {
    const running = shop.desk.running.find((one) => one.ref.repo === repo)
    const model = running?.ref ?? { repo }
    return { model, status: (await readState(shop, model)).status }
  })
  return Promise.all(states)
}

async function end({ ending, desk, wanted, hub }: Shop): Promise<void> {
  ending.abort()
  await desk.end()
  await Promise.all([...wanted.peek().values()].map((one) => one.ended))
  await hub.close()
}

function judgeStatus(all: readonly WantedModel[], clock: Clock): Status {
  if (all.length === 0) return { health: 'ok', summary: 'no model is wanted', since: new Date(clock.wall()) }
  return judgeWorst(all.map((one) => describeFiles(one.ref, one.files.value, clock)))
}

function toPart(one: WantedModel, clock: Clock): PartStatus {
  const { since, ...status } = describeFiles(one.ref, one.files.value, clock)
  return { name: one.ref.repo, ...status, since: since.toISOString() }
}
