// An env file read as text, never executed. dotenv says what each variable is; this file adds on which line it stands and
// what else another reader (bash, systemd) would make of that line.
import dotenv from 'dotenv'
import { describeDifferences, describeJunk, type Statement } from './env-lines.ts'
import { looksSecret, renderPortable } from './portable.ts'

export type EnvFile = {
  /** Last one wins. Values as dotenv reads them; an empty one is there as ''. */
  variables: ReadonlyMap<string, { value: string; line: number }>
  warnings: readonly LineFinding[]
  /** What makes the file unusable: written half, or damaged. */
  problems: readonly LineFinding[]
}

export type LineFinding = { line: number; variable?: string; message: string }

/** dotenv's own grammar with more groups: export, name, what separates, value. */
const statementForm =
  /^\s*(export\s+)?([\w.-]+)(\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$/gm

/** More would bury what matters: a file that is no env file has thousands. */
const mostJunk = 10

/** dotenv's expression needs time quadratic in the length of a run of blanks. */
const longestBlank = 512

export function parseEnvFile(source: string): EnvFile {
  if (new RegExp(`\\s{${longestBlank}}`).test(source)) {
    const message = `holds more than ${longestBlank} blanks in a row, as a damaged file does; write it again`
    return { variables: new Map(), warnings: [], problems: [{ line: 1, message }] }
  }
  const text = source.replace(/^\uFEFF/, '').replaceAll(/\r\n?/g, '\n')
  const { statements, junk } = scan(text)
  const values = dotenv.parse(text)
  const variables = new Map<string, { value: string; line: number }>()
  const found: LineFinding[] = [...judgeWhole(source)]
  for (const one of statements) {
    const earlier = variables.get(one.name)
    if (earlier)
      found.push({
        line: one.line,
        variable: one.name,
        message: `is set on line ${earlier.line} too and this one counts; remove one of them`,
      })
    variables.delete(one.name)
    variables.set(one.name, { value: Object.hasOwn(values, one.name) ? (values[one.name] ?? '') : '', line: one.line })
    found.push(...judgeStatement(one))
  }
  return { variables, warnings: [...found, ...judgeJunk(junk)], problems: judgeHalfWritten(text, statements, junk) }
}

type Line = { line: number; text: string }

function scan(text: string): { statements: Statement[]; junk: Line[] } {
  const statements: Statement[] = []
  const junk: Line[] = []
  let end = 0
  let line = 1
  const advance = (to: number) => {
    for (const [at, one] of text.slice(end, to).split('\n').entries()) {
      if (at > 0) line += 1
      if (one.trim() !== '' && !one.trim().startsWith('#')) junk.push({ line, text: one.trim() })
    }
    end = to
  }
  for (const match of text.matchAll(statementForm)) {
    const [whole, exported, name = '', separator = '', value = ''] = match
    advance(match.index)
    const lead = whole.length - whole.trimStart().length
    const start = line + countBreaks(whole.slice(0, lead))
    const before = whole.indexOf(name, lead + (exported?.length ?? 0)) + name.length + separator.length
    const tail = whole.slice(before + value.length)
    statements.push({ line: start, name, exported: exported !== undefined, separator, raw: value, tail })
    line += countBreaks(whole)
    end = match.index + whole.length
  }
  advance(text.length)
  return { statements, junk }
}

function judgeStatement(one: Statement): LineFinding[] {
  const { reasons, value } = describeDifferences(one)
  if (reasons.length === 0) return []
  const spelling = looksSecret(one.name) ? `${one.name}='…'` : renderPortable(one.name, value)
  const remedy = spelling && spelling.length <= 300 ? `write ${spelling}` : 'write a value without quotes and blanks'
  return [{ line: one.line, variable: one.name, message: `${reasons.join(', ')}; ${remedy}` }]
}

function judgeWhole(source: string): LineFinding[] {
  return [
    ...(source.startsWith('\uFEFF')
      ? [{ line: 1, message: 'begins with a byte order mark, for which systemd skips line 1; save it without' }]
      : []),
    ...(source.includes('\r')
      ? [{ line: 1, message: 'has Windows line ends, which bash takes into the values; save it with Unix line ends' }]
      : []),
  ]
}

function judgeJunk(junk: readonly Line[]): LineFinding[] {
  const shown = junk.slice(0, mostJunk).map((one) => ({ line: one.line, message: describeJunk(one.text) }))
  const more = junk[mostJunk]
  return more
    ? [...shown, { line: more.line, message: `${junk.length - mostJunk} more lines are not NAME=value; remove them` }]
    : shown
}

/** A quote that is never closed, or a last line without end and without `=`: nobody finished writing. */
function judgeHalfWritten(text: string, statements: readonly Statement[], junk: readonly Line[]): LineFinding[] {
  const open = statements.flatMap((one): LineFinding[] => {
    const quote = one.raw.trim()[0] ?? ''
    if (!/['"]/.test(quote) || one.raw.trim().slice(1).includes(quote) || one.tail.includes(quote)) return []
    return [
      { line: one.line, variable: one.name, message: `has a quote that is not closed; end the value with ${quote}` },
    ]
  })
  const last = junk.at(-1)
  return text !== '' && !text.endsWith('\n') && last && text.trimEnd().endsWith(last.text) && !/\s/.test(last.text)
    ? [...open, { line: last.line, message: 'ends in the middle of a line; write the rest, and a line end' }]
    : open
}

const countBreaks = (text: string) => text.split('\n').length - 1
