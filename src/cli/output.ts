// Where a verb prints.
import type { Output } from './verb.ts'

export function createOutput(): Output {
  // A reader that left (`| head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    write: (text) => void process.stdout.write(text),
    complain: (text) => void process.stderr.write(`${text}\n`),
    colours: process.stdout.isTTY === true && !process.env['NO_COLOR'],
    columns: process.stdout.columns ?? 100,
  }
}

/** For verbs that have more to end than themselves: a reader that left, or a full disk, is their business. */
export function whenOutputFails(then: () => void): void {
  process.stdout.removeAllListeners('error')
  process.stdout.on('error', then)
}

const codes = { red: 31, green: 32, yellow: 33, grey: 90, bold: 1 } as const

export function paint(out: Output, colour: keyof typeof codes, text: string): string {
  return out.colours ? `\u001B[${codes[colour]}m${text}\u001B[0m` : text
}
