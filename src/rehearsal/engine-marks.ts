// When the rehearsal engine listened and began to generate, for measurements: one line `SLOT EVENT MS` each in the file of
// REHEARSAL_MARKS, milliseconds since the epoch with fractions, as the engine itself saw it.
import { appendFileSync } from 'node:fs'

export type Mark = { slot: number; event: 'listening' | 'generating'; at: number }

/** Nothing without a file. */
export function writeMark(path: string, slot: number, event: Mark['event']): void {
  if (path !== '') appendFileSync(path, `${slot} ${event} ${performance.timeOrigin + performance.now()}\n`)
}

export function parseMarks(text: string): Mark[] {
  return text.split('\n').flatMap((line) => {
    const [slot, event, at] = line.split(' ')
    const known = event === 'listening' || event === 'generating'
    return known ? [{ slot: Number(slot), event, at: Number(at) }] : []
  })
}
