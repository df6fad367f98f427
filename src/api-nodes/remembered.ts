// What we registered where, across restarts: without it a changed CLIENT_ID would leave its old record behind unnoticed.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { z } from 'zod'
import type { Problem } from '../api/status.ts'
import { messageOf } from '../core/errors.ts'
import { readJson, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'
import { toProblem } from './problems.ts'

const entry = z.object({
  apiNode: z.string(),
  id: z.string(),
  registeredAt: z.string(),
  /** We disabled it ourselves; the next registration enables it again. */
  left: z.boolean().optional(),
  /** Of auth_token, which cannot be read back: another one must be sent. */
  tokenDigest: z.string().optional(),
})

const file = z.object({ records: z.array(entry) })

export type RememberedRecord = z.output<typeof entry>

export interface Remembered {
  readonly ready: Promise<void>
  readonly records: ReadonlySignal<readonly RememberedRecord[]>
  /** Set while the file cannot be written. */
  readonly problem: ReadonlySignal<Problem | undefined>
  find(apiNode: string, id: string): RememberedRecord | undefined
  /** Replaces what is known of that id at that API node; written in the background, one write at a time. */
  put(record: RememberedRecord): void
  forget(apiNode: string, id: string): void
  /** The last write is over. */
  settled(): Promise<void>
}

/** Usable at once; `ready` when the file has been read. Before that, `put` is lost to nobody: loops wait for it. */
export function startRemembered(stateDir: string, log: Log): Remembered {
  const path = join(stateDir, 'registrations.json')
  const records = signal<readonly RememberedRecord[]>([])
  const problem = signal<Problem | undefined>(undefined)
  let writing = Promise.resolve()
  const without = (apiNode: string, id: string) =>
    records.peek().filter((one) => one.apiNode !== apiNode || one.id !== id)
  const assign = (next: readonly RememberedRecord[]) => {
    if (JSON.stringify(next) === JSON.stringify(records.peek())) return
    records.value = next
    writing = writing.then(async () => {
      problem.value = await writeJson(path, { records: records.peek() }).then(
        () => undefined,
        (error: unknown) => toProblem('registrations-not-saved', `${path}: ${messageOf(error)}`),
      )
    })
  }
  const read = async () => {
    const found = await readJson(path, file)
    if (found.kind === 'value') records.value = found.value.records
    if (found.kind === 'bad') log.warn({ path, why: found.why }, 'registrations cannot be read, starting without them')
  }
  return {
    ready: read(),
    records,
    problem,
    find: (apiNode, id) => records.peek().find((one) => one.apiNode === apiNode && one.id === id),
    put: (record) => assign([...without(record.apiNode, record.id), record]),
    forget: (apiNode, id) => assign(without(apiNode, id)),
    settled: () => writing,
  }
}

export function toDigest(secret: unknown): string | undefined {
  return typeof secret === 'string' ? createHash('sha256').update(secret).digest('hex') : undefined
}
