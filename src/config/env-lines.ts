// What bash, systemd and dotenv make of one line where they differ: every row of facts/systemd.md 3.3 that can apply.

export type Statement = {
  line: number
  name: string
  exported: boolean
  /** `=`, ` = `, `: ` */
  separator: string
  /** The value as it stands, quotes included, from the separator up to a comment. */
  raw: string
  /** What follows the value: blanks, a comment. May reach into later lines. */
  tail: string
}

/** @returns why the line reads differently, and the value that was most likely meant */
export function describeDifferences(one: Statement): { reasons: string[]; value: string } {
  const raw = one.raw.trim()
  const comment = /^[^\n]*#/.test(one.tail)
  const quote = raw[0] === "'" || raw[0] === '"' || raw[0] === '`' ? raw[0] : ''
  const closed = quote !== '' && raw.length > 1 && raw.endsWith(quote)
  const inner = closed ? raw.slice(1, -1) : raw
  const reasons = [...describeName(one)]
  if (one.raw.startsWith('\n') && raw !== '') reasons.push('the value begins on the next line')
  if (quote === '`' && closed) return { reasons: [...reasons, 'bash runs what is between backticks'], value: inner }
  // Never closed: env-file.ts reports that as a problem.
  if (quote && !raw.slice(1).includes(quote)) return { reasons, value: raw }
  if (quote && (!closed || inner.includes(quote)) && !isEscapedOnly(inner, quote))
    return { reasons: [...reasons, 'only bash joins several quoted pieces'], value: joinPieces(raw) }
  if (quote === '"') reasons.push(...describeDouble(inner))
  if (quote && inner.split('\n').some((line, at) => at > 0 && /^\s*(export\s+)?[A-Za-z_]\w*=/.test(line)))
    reasons.push('the quotes swallow the assignments on the lines below')
  if (quote) {
    if (comment) reasons.push('systemd takes the comment into the value')
    return { reasons, value: quote === '"' ? inner.replaceAll(/\\(["\\$`])/g, '$1') : inner }
  }
  reasons.push(...describeBare(raw))
  return comment ? describeHash(one, raw, reasons) : { reasons, value: raw }
}

export function describeJunk(line: string): string {
  const shown = /^[\w\s.[\]$-]*$/.test(line) && line.length <= 60 ? `"${line}" ` : ''
  if (line.startsWith(';')) return 'begins a comment with ; which bash runs; write # instead'
  return `${shown}is not NAME=value and does nothing; write NAME=value, or # before a comment`
}

function* describeName(one: Statement): Generator<string> {
  if (one.exported) yield 'systemd ignores a line with export'
  if (one.separator.startsWith(':')) yield 'bash and systemd do not know `NAME: value`'
  else if (/\s$/.test(one.separator) || /^\s/.test(one.separator) || /^[ \t]/.test(one.raw))
    yield 'bash allows no blanks around ='
  if (!/^[A-Za-z_]\w*$/.test(one.name)) yield 'bash and systemd do not take this for the name of a variable'
}

function* describeDouble(inner: string): Generator<string> {
  const bare = inner.replaceAll(/\\[\s\S]/g, '')
  if (bare.includes('$')) yield 'bash expands $'
  if (bare.includes('`')) yield 'bash runs what is between backticks'
  if (/\\[nr]/.test(inner)) yield 'dotenv makes a line break of \\n'
  else if (inner.includes('\\')) yield 'bash and systemd drop backslashes'
}

function* describeBare(raw: string): Generator<string> {
  if (/\s/.test(raw)) yield 'bash runs what follows a blank as a command'
  if (/\$\(/.test(raw) || raw.includes('`')) yield 'bash runs the command in it'
  else if (raw.includes('$')) yield 'bash expands $'
  if (raw.includes('\\')) yield 'bash and systemd drop backslashes'
  if (/^~|:~/.test(raw)) yield 'bash expands ~'
  if (/[;&|<>()]/.test(raw)) yield 'bash ends the value at ; & | < > ( or )'
  if (/['"]/.test(raw)) yield 'bash drops the quotes'
}

/** dotenv alone ends an unquoted value at every #, systemd at none, bash at those after a blank. */
function describeHash(one: Statement, raw: string, reasons: string[]): { reasons: string[]; value: string } {
  const separated = raw === '' ? /^\s/.test(one.raw + one.tail) : /\s$/.test(one.raw) || /^\s/.test(one.tail)
  if (separated) return { reasons: [...reasons, 'systemd takes the comment into the value'], value: raw }
  const meant = raw + (/^[^\n]*/.exec(one.tail)?.[0] ?? '').trimEnd()
  return { reasons: [...reasons, 'only what is before # is read here, while bash and systemd read on'], value: meant }
}

/** `"a \"b\""`: every inner quote is escaped, so it is one piece. */
const isEscapedOnly = (inner: string, quote: string) =>
  quote === '"' && !inner.replaceAll(/\\[\s\S]/g, '').includes(quote) && !/(^|[^\\])(\\\\)*\\$/.test(inner)

/** What bash makes of `'it'\''s'`: the pieces without their quotes. */
function joinPieces(raw: string): string {
  return raw.replaceAll(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\([\s\S])/g,
    (_all, single?: string, double?: string, bare?: string) =>
      single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? bare ?? '',
  )
}
