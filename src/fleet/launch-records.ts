// The launches on disk, one small file each: the only writer of them. What changes holds at once and is on disk soon after; a
// disk that is full is a problem said, never a lost engine.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { codeOf, isShortage, messageOf } from '../core/errors.ts'
import { readJson, removeFile, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'
import { fromStamp, type LaunchRecord, launchRecordSchema, toStamp } from './launch-record.ts'
import { fleetProblem } from './problems.ts'

const fileName = /^([0-9a-f]{8}-[0-9a-f-]{27})\.json$/

export class LaunchRecords {
  readonly #folder: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #records = signal<ReadonlyMap<string, LaunchRecord>>(new Map())
  readonly #problem = signal<Problem | undefined>(undefined)
  /** Ids whose file is older than what we know. */
  readonly #dirty = new Set<string>()
  readonly #changing = new Set<Promise<unknown>>()
  readonly #fresh = new Set<string>()
  readonly #writing = new Map<string, Promise<boolean>>()
  #last = 0
  #loading: Promise<void> | undefined
  /** Oldest first. */
  readonly all: ReadonlySignal<readonly LaunchRecord[]>

  constructor(deps: { folder: string; clock: Clock; log: Log }) {
    this.#folder = deps.folder
    this.#clock = deps.clock
    this.#log = deps.log
    this.all = computed(() => [...this.#records.value.values()])
  }

  /** Why the files cannot be trusted or written, while that is so. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem
  }

  get(id: string): LaunchRecord | undefined {
    return this.#records.peek().get(id)
  }

  /** No engine starts before its launch is on disk. */
  isStored(id: string): boolean {
    return !this.#fresh.has(id)
  }

  /** Later than every stamp before it, microseconds since 1970. */
  stamp(): string {
    this.#last = Math.max(this.#clock.wall() * 1000, this.#last + 1)
    return toStamp(this.#last)
  }

  /**
   * Reads the folder once; one that cannot be read is a problem, and the launches in it are not known.
   * @throws where there is no descriptor or memory left: asked again then
   */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  /** Holds at once, and is on disk when this resolves. @throws what the file system says; then it does not hold any more */
  async add(record: LaunchRecord): Promise<void> {
    const { id } = record
    this.#fresh.add(id)
    this.#put(record)
    this.#dirty.add(id)
    // The end of a launch is on disk before what was begun on its GPUs: a daemon that dies between the two finds each GPU once.
    await Promise.all(this.#changing)
    const isStored = await this.#write(id)
    this.#fresh.delete(id)
    const now = this.get(id)
    if (isStored) return now && this.#put(now)
    this.#dirty.delete(id)
    this.#drop(id)
    throw new Error(`launch cannot be stored: ${this.#problem.peek()?.evidence ?? 'unknown reason'}`)
  }

  /** Nothing happens where nothing of that id is kept. */
  change(id: string, to: Partial<LaunchRecord>): void {
    const old = this.get(id)
    if (old) this.replace({ ...old, ...to })
  }

  /** Holds at once. */
  replace(record: LaunchRecord): void {
    this.#put({ ...record, updatedAt: this.stamp() })
    this.#dirty.add(record.id)
    const change = this.#write(record.id)
    this.#changing.add(change)
    void change.then(() => this.#changing.delete(change))
  }

  async remove(id: string): Promise<void> {
    this.#dirty.delete(id)
    this.#drop(id)
    await this.#writing.get(id)
    await removeFile(this.#toPath(id)).catch((error: unknown) =>
      this.#log.warn({ launch: id, why: messageOf(error) }, 'record of a launch not removed'),
    )
  }

  /** Resolves when everything was tried; what could not be written is tried again by the next one. Never rejects. */
  async flush(): Promise<void> {
    for (const id of this.#dirty) void this.#write(id)
    await Promise.all(this.#writing.values())
  }

  async #load(): Promise<void> {
    const names = await readdir(this.#folder).catch((error: unknown): string[] => {
      if (isShortage(error)) throw error
      if (codeOf(error) !== 'ENOENT')
        this.#problem.value = fleetProblem('state-unreadable', `${this.#folder}: ${messageOf(error)}`)
      return []
    })
    const ids = names.flatMap((name) => fileName.exec(name)?.[1] ?? [])
    const found = await Promise.all(ids.map((id) => this.#read(id)))
    const known = found.filter((one) => one !== undefined).toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1))
    this.#last = Math.max(this.#last, ...known.map((one) => fromStamp(one.updatedAt)))
    this.#records.value = new Map([...known.map((one) => [one.id, one] as const), ...this.#records.peek()])
  }

  async #read(id: string): Promise<LaunchRecord | undefined> {
    const found = await readJson(this.#toPath(id), launchRecordSchema)
    if (found.kind === 'value') return found.value
    if (found.kind === 'bad') {
      if (isShortage(found.error)) throw found.error as Error
      this.#log.warn({ launch: id, why: found.why }, 'record of a launch cannot be read')
      this.#problem.value = fleetProblem('state-unreadable', `${this.#toPath(id)}: ${found.why}`)
    }
    return undefined
  }

  /** One after the other for the same launch; each writes what is true when its turn comes. */
  #write(id: string): Promise<boolean> {
    const turn = (this.#writing.get(id) ?? Promise.resolve(true)).then(() => this.#writeNow(id))
    this.#writing.set(id, turn)
    void turn.then(() => {
      if (this.#writing.get(id) === turn) this.#writing.delete(id)
    })
    return turn
  }

  /** Whether what we know is on disk. */
  async #writeNow(id: string): Promise<boolean> {
    const record = this.get(id)
    if (!record || !this.#dirty.delete(id)) return true
    try {
      await writeJson(this.#toPath(id), record)
      if (this.#dirty.size === 0) this.#problem.value = undefined
      return true
    } catch (error) {
      if (this.get(id)) this.#dirty.add(id)
      const evidence = `${this.#folder}: ${codeOf(error) ?? messageOf(error)}`
      if (this.#problem.peek()?.evidence !== evidence)
        this.#problem.value = fleetProblem('state-not-writable', evidence)
      return false
    }
  }

  #put(record: LaunchRecord): void {
    this.#records.value = new Map(this.#records.peek()).set(record.id, record)
  }

  #drop(id: string): void {
    const next = new Map(this.#records.peek())
    next.delete(id)
    this.#records.value = next
  }

  #toPath(id: string): string {
    return join(this.#folder, `${id}.json`)
  }
}
