// What a bench file exports: rows, each measured several times in one run of the bench.

export type BenchRow = {
  name: string
  unit: string
  goal: { atMost: number } | { atLeast: number }
  /** How often it is measured; the median counts. At least 5. */
  runs?: number
  /** What to compare with, by name: nginx, direct. Empty where it is not on PATH. */
  compare?: string
  /** One measurement. `undefined`: it cannot be measured here, with the reason logged. */
  measure: (context: BenchContext) => Promise<Measured | undefined>
}

export type Measured = { value: number; compared?: number; note?: string }

export interface BenchContext {
  /** Registers what is to be ended after all runs of the row. */
  after(end: () => void | Promise<void>): void
  /** Kept over the runs of one row: servers that are started once. */
  once<T>(name: string, make: () => Promise<T>): Promise<T>
  log(line: string): void
}
