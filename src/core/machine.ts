// The parts that are up: their worst health, and their end in the right order, also when the boot failed half way.
import { computed, signal, type ReadonlySignal } from '@preact/signals-core'
import type { Health, PartStatus, Status } from '../api/status.ts'
import { systemClock } from './clock.ts'
import type { Component } from './component.ts'
import { messageOf } from './errors.ts'
import type { Intent } from './intent.ts'
import type { Log } from './log.ts'

/** A part without a word about it waits for a file, a reader, a program that was killed: none may hold up the others. */
const usualEnd = 15_000

const worstFirst: Health[] = ['failed', 'degraded', 'starting', 'ok', 'off']

/** Parts are added in boot order and end in reverse: listeners, added first, close last. */
export class Machine {
  readonly #log: Log
  readonly #parts = signal<readonly Component[]>([])
  #ending: Promise<void> | undefined
  /** Worst health over all parts; the summary is that of the first part with it, or of the headline where all is well. */
  readonly status: ReadonlySignal<Status>
  readonly parts: ReadonlySignal<readonly PartStatus[]>

  /** @param headline names of the parts that say what the node is doing when nothing is wrong */
  constructor(log: Log, headline: readonly string[] = []) {
    this.#log = log
    this.status = computed(() => {
      const worst = judgeWorst(this.#parts.value.map((part) => part.status.value))
      return worst.health === 'ok' ? describeWell(worst, this.#parts.value, headline) : worst
    })
    this.parts = computed(() => this.#parts.value.map(describePart))
  }

  /** @returns the part itself, so that boot reads as a list of `const x = machine.add(startX(…))` */
  add<C extends Component>(part: C): C {
    this.#parts.value = [...this.#parts.peek(), part]
    return part
  }

  /** ms; how long the end of all parts may take at the worst. */
  get endsWithin(): number {
    return this.#parts.peek().reduce((sum, { endsWithin = usualEnd }) => sum + endsWithin, 0)
  }

  /** Ends every part, last added first, one after another. Never rejects; the first intent wins. */
  end(intent: Intent): Promise<void> {
    this.#ending ??= this.#endAll(intent)
    return this.#ending
  }

  async #within(part: Component, end: Promise<void>): Promise<void> {
    const over = new AbortController()
    const bound = part.endsWithin ?? usualEnd
    const late = systemClock.wait(bound, over.signal).then(() => {
      if (!over.signal.aborted) this.#log.error({ part: part.name, bound }, 'a part does not end: nobody waits for it')
    })
    await Promise.race([end, late]).finally(() => over.abort())
  }

  async #endAll(intent: Intent): Promise<void> {
    for (const part of [...this.#parts.peek()].reverse()) {
      try {
        await this.#within(part, part.end(intent))
      } catch (error) {
        this.#log.error({ err: error, part: part.name }, `end failed: ${messageOf(error)}`)
      }
    }
  }
}

/** Symptoms stay behind their cause: a problem whose `dependsOn` is itself present does not decide the summary. */
export function judgeWorst(all: readonly Status[]): Status {
  const codes = new Set(all.map((one) => one.problem?.code))
  const causes = all.filter((one) => !one.problem?.dependsOn || !codes.has(one.problem.dependsOn))
  for (const health of worstFirst) {
    const found = causes.find((one) => one.health === health)
    if (found) return found
  }
  return all[0] ?? { health: 'starting', summary: 'nothing is up yet', since: new Date(0) }
}

function describeWell(worst: Status, parts: readonly Component[], headline: readonly string[]): Status {
  const told = parts.filter(({ name, status }) => headline.includes(name) && status.value.health === 'ok')
  return told.length === 0 ? worst : { ...worst, summary: told.map(({ status }) => status.value.summary).join('; ') }
}

export function describePart(part: Component): PartStatus {
  const { health, summary, since, problem } = part.status.value
  const below = part.parts?.value ?? []
  return {
    name: part.name,
    health,
    summary,
    since: since.toISOString(),
    ...(problem && { problem }),
    ...(below.length > 0 && { parts: [...below] }),
  }
}
