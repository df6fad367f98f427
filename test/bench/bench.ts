// `npm run bench [-- --only WORD] [--quick]`: every row of test/bench/*.bench.ts (those whose name has the word), medians of
// five, as a table and as .cache/bench.json. Exits 1 when a goal is missed or a row not measured. Ends what it started, also after Ctrl-C.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isPassed, judge, type Outcome, renderOutcome } from './outcome.ts'
import type { BenchContext, BenchRow, Measured } from './row.ts'

const { values: flags } = parseArgs({
  options: { only: { type: 'string', multiple: true }, quick: { type: 'boolean', default: false } },
})
const turns = flags.quick ? 1 : 5
const ends: (() => void | Promise<void>)[] = []
const kept = new Map<string, Promise<unknown>>()
const state: { ended?: Promise<void> } = {}
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(name, () => void endAll().finally(() => process.exit(130)))

const outcomes: Outcome[] = []
const loadBefore = loadavg()[0] ?? 0
try {
  for (const row of await loadRows()) {
    const { only } = flags
    if (only && !only.some((word) => row.name.includes(word))) continue
    const outcome = judge(row, await measureRow(row))
    outcomes.push(outcome)
    process.stdout.write(`${renderOutcome(outcome)}\n`)
  }
} finally {
  await endAll()
}
writeReport(outcomes)
process.exitCode = outcomes.every(isPassed) ? 0 : 1

async function loadRows(): Promise<BenchRow[]> {
  const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.bench.ts'))
  const files = await Promise.all(
    names.toSorted().map((name) => import(join(import.meta.dirname, name)) as Promise<unknown>),
  )
  return files.flatMap((file) => (file as { rows: BenchRow[] }).rows)
}

async function measureRow(row: BenchRow): Promise<Measured[]> {
  const measured: Measured[] = []
  for (let turn = 0; turn < turns; turn += 1) {
    const context = createContext(row, turn)
    const one = await row.measure(context).catch((error: unknown) => context.log(String(error)))
    // Those before it tell nothing of what broke now.
    if (!one) return []
    measured.push(one)
  }
  return measured
}

function createContext(row: BenchRow, turn: number): BenchContext {
  return {
    turn,
    turns,
    quick: flags.quick,
    after: (end) => void ends.unshift(end),
    once<T>(name: string, make: () => Promise<T>): Promise<T> {
      const found = kept.get(name) ?? make()
      kept.set(name, found)
      return found as Promise<T>
    },
    log: (line) => void process.stderr.write(`  ${row.name}: ${line}\n`),
  }
}

function endAll(): Promise<void> {
  return (state.ended ??= (async () => {
    for (const end of ends) await end()
  })())
}

function writeReport(rows: readonly Outcome[]): void {
  const folder = join(import.meta.dirname, '../../.cache')
  mkdirSync(folder, { recursive: true })
  const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version, loadBefore }
  const report = { at: new Date().toISOString(), quick: flags.quick, machine, rows }
  writeFileSync(join(folder, 'bench.json'), `${JSON.stringify(report, null, 1)}\n`)
}
