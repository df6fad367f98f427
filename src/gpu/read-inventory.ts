// One look at all GPUs: probes the field list where it is not known yet, and asks for versions and MIG once per driver.
import type { Clock } from '../core/clock.ts'
import type { Inventory, MigDevice } from './inventory.ts'
import type { NvidiaSmi, SmiAnswer } from './nvidia-smi.ts'
import { toGpuProblem } from './problems.ts'
import {
  allFields,
  dropField,
  parseMigDevices,
  parseRows,
  parseUnknownField,
  parseVersions,
  type Row,
  textOf,
  toGpu,
} from './query.ts'

/** What stays true until the driver changes. Written here alone. */
export type Learned = {
  fields?: readonly string[]
  versions?: { driver: string; cudaVersion?: string; nvmlVersion?: string }
}

export async function readInventory(
  smi: NvidiaSmi,
  learned: Learned,
  { abort, clock }: { abort: AbortSignal; clock: Clock },
): Promise<{ inventory: Inventory; rows: readonly Row[] }> {
  const { answer, fields } = await askFields(smi, learned.fields ?? allFields, abort)
  if (answer.kind !== 'ok') return { inventory: toInventory(answer), rows: [] }
  learned.fields = fields
  const rows = parseRows(fields, answer.stdout)
  if (rows.length === 0) return { inventory: emptyAnswer(answer.stdout), rows }
  const migs = await readMig(smi, rows, abort)
  const driver = textOf(rows[0]?.get('driver_version'))
  const versions = await readVersions(smi, learned, driver ?? '', abort)
  const gpus = rows.flatMap((row) => toGpu(row, migs.get(row.get('uuid') ?? '') ?? []) ?? [])
  const at = new Date(clock.wall())
  return { inventory: { kind: 'known', gpus, ...(driver && { driverVersion: driver }), ...versions, at }, rows }
}

/** One unknown field fails the whole call and is the only one named: drop it and ask again. */
async function askFields(smi: NvidiaSmi, wanted: readonly string[], abort: AbortSignal) {
  let fields = wanted
  for (;;) {
    const answer = await smi.ask([`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits'], abort)
    const unknown = answer.kind === 'invalid' ? parseUnknownField(answer.text) : undefined
    if (unknown === undefined || !fields.includes(unknown)) return { answer, fields }
    fields = dropField(fields, unknown)
  }
}

function toInventory(answer: Exclude<SmiAnswer, { kind: 'ok' }>): Inventory {
  if (answer.kind === 'none') return { kind: 'none', why: answer.why }
  if (answer.kind === 'failed') return { kind: 'failed', problem: answer.problem }
  return { kind: 'failed', problem: toGpuProblem('gpu-query-failed', answer.text.slice(0, 300)) }
}

function emptyAnswer(stdout: string): Inventory {
  const line = stdout.trim().split('\n')[0] ?? ''
  if (line === '') return { kind: 'none', why: 'nvidia-smi lists no device' }
  return { kind: 'failed', problem: toGpuProblem('gpu-query-failed', `not a table: ${line.slice(0, 200)}`) }
}

async function readMig(
  smi: NvidiaSmi,
  rows: readonly Row[],
  abort: AbortSignal,
): Promise<ReadonlyMap<string, readonly MigDevice[]>> {
  if (!rows.some((row) => row.get('mig.mode.current') === 'Enabled')) return new Map()
  const listing = await smi.ask(['-L'], abort)
  return listing.kind === 'ok' ? parseMigDevices(listing.stdout) : new Map()
}

async function readVersions(smi: NvidiaSmi, learned: Learned, driver: string, abort: AbortSignal) {
  if (learned.versions?.driver !== driver) {
    const told = await smi.ask(['--version'], abort)
    const banner = told.kind === 'invalid' ? await smi.ask([], abort) : told
    learned.versions = { driver, ...(banner.kind === 'ok' && parseVersions(banner.stdout)) }
  }
  const { driver: _, ...versions } = learned.versions
  return versions
}
