// What the measurements of a row come to, and its line in the table. Pure.
import type { BenchRow, Measured } from './row.ts'

export type Outcome = {
  name: string
  unit: string
  /** Empty: judged by another row. */
  goal: string
  /** Absent: it could not be measured here. */
  median?: number
  range?: { min: number; max: number }
  compared?: { with: string; median: number }
  good?: boolean
  all: number[]
}

export function judge(row: BenchRow, measured: readonly Measured[]): Outcome {
  const { name, unit, goal, compare } = row
  const all = measured.map(({ value }) => value)
  const compared = measured.flatMap((one) => (one.compared === undefined ? [] : [one.compared]))
  const base: Outcome = { name, unit, goal: renderGoal(goal), all }
  if (all.length === 0) return base
  const median = pickMedian(all)
  return {
    ...base,
    median,
    range: { min: Math.min(...all), max: Math.max(...all) },
    ...(goal && { good: 'atMost' in goal ? median <= goal.atMost : median >= goal.atLeast }),
    ...(compared.length > 0 && compare !== undefined && { compared: { with: compare, median: pickMedian(compared) } }),
  }
}

function renderGoal(goal: BenchRow['goal']): string {
  if (!goal) return ''
  return 'atMost' in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`
}

/** Not where it could not be measured. */
export function isPassed({ goal, median, good }: Outcome): boolean {
  return goal === '' ? median !== undefined : good === true
}

export function renderOutcome({ name, unit, goal, median, range, compared, good }: Outcome): string {
  const mark = good === undefined ? '·' : good ? '✓' : '✗'
  const value = median === undefined ? 'not measured' : `${round(median)} ${unit}`.trim()
  const spread = range ? `${round(range.min)}..${round(range.max)}` : ''
  const other = compared ? `${compared.with} ${round(compared.median)}` : ''
  const columns = [
    mark,
    name.padEnd(56),
    (goal && `goal ${goal} ${unit}`.trim()).padEnd(16),
    value.padEnd(14),
    spread.padEnd(16),
  ]
  return `${columns.join('  ')}  ${other}`.trimEnd()
}

export function pickMedian(all: readonly number[]): number {
  const sorted = all.toSorted((a, b) => a - b)
  const [low = NaN, high = NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]]
  return (low + high) / 2
}

function round(value: number): string {
  return String(Number(value.toPrecision(3)))
}
