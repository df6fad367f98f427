// What a bench file exports: rows, each measured several times in one run of the bench.

export type BenchRow = {
  name: string
  unit: string
  /** Absent: it is shown, and judged by another row. */
  goal?: { atMost: number } | { atLeast: number }
  /** What it is compared with, by name; printed only where a measurement brought `compared`. */
  compare?: string
  /** One measurement. `undefined`: it cannot be measured here, with the reason logged. */
  measure: (context: BenchContext) => Promise<Measured | undefined>
}

export type Measured = { value: number; compared?: number }

export interface BenchContext {
  /** Which measurement of the row this is, from 0. */
  readonly turn: number
  /** How many there will be. */
  readonly turns: number
  /** Shorter and less exact: for a look, not for a verdict. */
  readonly quick: boolean
  /** Registers what is to be ended after the last row. */
  after(end: () => void | Promise<void>): void
  /** Made once for all rows of the run that name it: programs, a booted daemon, a warm-up. */
  once<T>(name: string, make: () => Promise<T>): Promise<T>
  log(line: string): void
}
