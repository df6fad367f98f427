// What should run, as one file: the only writer of it. A disk that is full or read-only is a problem said, never a lost engine.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { join } from 'node:path'
import type { Problem } from '../api/status.ts'
import { codeOf, isShortage, messageOf } from '../core/errors.ts'
import { readJson, writeJson } from '../core/json-file.ts'
import type { Planned } from './fleet.ts'
import { fleetProblem } from './problems.ts'
import { type Owner, pickValid, type Stored, storedSchema, type Wish, type Wishes } from './wish.ts'

export type WishFacts = {
  stateDir: string
  instanceId: string | undefined
  bootId: string
  /** MODEL_NAME of the configuration. */
  modelName: string | undefined
  /** The configuration's wish; undefined where it wants nothing (INFERENCE_NODE=false). */
  configuration: Wish | undefined
}

export class WishBook {
  readonly #facts: WishFacts
  readonly #path: string
  readonly #wishes = signal<Wishes>({})
  readonly #problem = signal<Problem | undefined>(undefined)
  #kept: Pick<Stored, 'planned' | 'gpuCount'> = {}
  readonly #touched = new Set<Owner>()
  /** Stays what the file says while it is not known. */
  #instanceId: string | undefined
  #loading: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()
  #dirty = false

  constructor(facts: WishFacts) {
    this.#facts = facts
    this.#instanceId = facts.instanceId
    this.#path = join(facts.stateDir, 'wishes.json')
    if (facts.configuration) this.#wishes.value = { configuration: facts.configuration }
  }

  get wishes(): ReadonlySignal<Wishes> {
    return this.#wishes
  }

  /** Why the file cannot be trusted or written, while that is so. */
  get problem(): ReadonlySignal<Problem | undefined> {
    return this.#problem
  }

  /** Plan and GPU count as fixed last, of this or of an earlier boot. */
  get kept(): Pick<Stored, 'planned' | 'gpuCount'> {
    return this.#kept
  }

  /**
   * Reads the file once; wishes that were set meanwhile win.
   * @throws where there is no descriptor or memory left: asked again then, and nothing is written before
   */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  /** Undefined takes the wish away. Holds at once; on disk soon after (`flush`). */
  set(owner: Owner, wish: Wish | undefined): void {
    this.#touched.add(owner)
    const { [owner]: _, ...others } = this.#wishes.peek()
    this.#wishes.value = wish ? { ...others, [owner]: wish } : others
    this.#dirty = true
    void this.flush()
  }

  keepPlan(planned: Planned | undefined, gpuCount: number | undefined): void {
    const next = { ...(planned && { planned }), ...(gpuCount !== undefined && { gpuCount }) }
    if (JSON.stringify(next) === JSON.stringify(this.#kept)) return
    this.#kept = next
    this.#dirty = true
    void this.flush()
  }

  /** Looks whether the file can be written: `problem` says so until it can. */
  check(): void {
    this.#dirty = true
    void this.flush()
  }

  /** Resolves when what is wished now is on disk, or has failed to get there (see `problem`). Never rejects. */
  async flush(): Promise<void> {
    const isLoaded = await this.load().then(
      () => true,
      () => false,
    )
    if (!isLoaded) return
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
  }

  async #load(): Promise<void> {
    const found = await readJson(this.#path, storedSchema)
    if (found.kind === 'bad' && isShortage(found.error)) throw found.error as Error
    if (found.kind === 'bad') this.#problem.value = fleetProblem('state-unreadable', `${this.#path}: ${found.why}`)
    if (found.kind !== 'value') return
    const { wishes, ...kept } = pickValid(found.value, this.#facts)
    this.#kept = { ...kept, ...this.#kept }
    this.#instanceId ??= found.value.instanceId
    const untouched = Object.entries(wishes).filter(([owner]) => !this.#touched.has(owner as Owner))
    this.#wishes.value = { ...Object.fromEntries(untouched), ...this.#wishes.peek() }
  }

  async #write(): Promise<void> {
    if (!this.#dirty) return
    this.#dirty = false
    try {
      await writeJson(this.#path, this.#toStored())
      this.#problem.value = undefined
    } catch (error) {
      this.#dirty = true
      const evidence = `${this.#path}: ${codeOf(error) ?? messageOf(error)}`
      if (this.#problem.peek()?.evidence !== evidence)
        this.#problem.value = fleetProblem('state-not-writable', evidence)
    }
  }

  #toStored(): Stored {
    const { bootId, modelName } = this.#facts
    return {
      version: 1,
      ...(this.#instanceId !== undefined && { instanceId: this.#instanceId }),
      bootId,
      ...(modelName !== undefined && { modelName }),
      wishes: this.#wishes.peek(),
      ...this.#kept,
    }
  }
}
