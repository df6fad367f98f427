// `npm run bench [-- WORD…]`: every row of test/bench/*.bench.ts (those whose name has one of the words), medians of at least
// five, as a table and as .cache/bench.json. Exits 1 when a goal is missed.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchContext, BenchRow, Measured } from './row.ts'

type Outcome = {
  name: string
  unit: string
  goal: string
  median?: number
  compared?: { with: string; median: number }
  good?: boolean
  all: number[]
}

const words = process.argv.slice(2)
const outcomes: Outcome[] = []
for (const row of await loadRows()) {
  if (words.length > 0 && !words.some((word) => row.name.includes(word))) continue
  const outcome = await measureRow(row)
  outcomes.push(outcome)
  printOutcome(outcome)
}
const folder = join(import.meta.dirname, '../../.cache')
mkdirSync(folder, { recursive: true })
writeFileSync(
  join(folder, 'bench.json'),
  `${JSON.stringify({ at: new Date().toISOString(), rows: outcomes }, null, 1)}\n`,
)
process.exitCode = outcomes.some(({ good }) => good === false) ? 1 : 0

async function loadRows(): Promise<BenchRow[]> {
  const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.bench.ts'))
  const files = await Promise.all(
    names.toSorted().map((name) => import(join(import.meta.dirname, name)) as Promise<unknown>),
  )
  return files.flatMap((file) => (file as { rows: BenchRow[] }).rows)
}

async function measureRow(row: BenchRow): Promise<Outcome> {
  const ends: (() => void | Promise<void>)[] = []
  const kept = new Map<string, Promise<unknown>>()
  const context: BenchContext = {
    after: (end) => void ends.unshift(end),
    once<T>(name: string, make: () => Promise<T>): Promise<T> {
      const found = kept.get(name) ?? make()
      kept.set(name, found)
      return found as Promise<T>
    },
    log: (line) => void process.stderr.write(`  ${row.name}: ${line}\n`),
  }
  const measured: Measured[] = []
  try {
    for (let at = 0; at < Math.max(5, row.runs ?? 5); at += 1) {
      const one = await row.measure(context)
      if (!one) break
      measured.push(one)
    }
  } finally {
    for (const end of ends) await end()
  }
  return judge(row, measured)
}

function judge(row: BenchRow, measured: readonly Measured[]): Outcome {
  const { name, unit, goal } = row
  const all = measured.map(({ value }) => value)
  const compared = measured.flatMap((one) => (one.compared === undefined ? [] : [one.compared]))
  const text = 'atMost' in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`
  const base: Outcome = { name, unit, goal: text, all }
  if (all.length === 0) return base
  const median = pickMedian(all)
  const good = 'atMost' in goal ? median <= goal.atMost : median >= goal.atLeast
  return {
    ...base,
    median,
    good,
    ...(compared.length > 0 && { compared: { with: row.compare ?? 'compared', median: pickMedian(compared) } }),
  }
}

function pickMedian(all: readonly number[]): number {
  const sorted = all.toSorted((a, b) => a - b)
  const [low = NaN, high = NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return (low + high) / 2
}

function printOutcome({ name, unit, goal, median, compared, good, all }: Outcome): void {
  const value = median === undefined ? 'not measured' : `${round(median)} ${unit}`
  const mark = good === undefined ? '·' : good ? '✓' : '✗'
  const other = compared === undefined ? '' : `  (${compared.with} ${round(compared.median)})`
  const spread = all.length > 0 ? `  [${all.map(round).join(' ')}]` : ''
  process.stdout.write(`${mark} ${name.padEnd(58)} ${value.padStart(16)}  goal ${goal}${other}${spread}\n`)
}

function round(value: number): string {
  return String(Number(value.toPrecision(3)))
}
