// Where and why a text is no JSON, in the words of Python's parser, which clients of the old service know from its 422. Only asked
// when JSON.parse has refused it. Pure; as deep as the text is, without recursion.

export type JsonError = {
  msg: string
  /** In characters (code points) from the beginning. */
  pos: number
}

const names = 'Expecting property name enclosed in double quotes'

export function findJsonError(text: string): JsonError {
  const { msg, at } = scan(text)
  // A pair of surrogates is one character there.
  const pairs = text.slice(0, at).match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0
  return { msg, pos: at - pairs }
}

type Found = { msg: string; at: number }

function scan(text: string): Found {
  const open: ('{' | '[')[] = []
  let at = skip(text, 0)
  for (;;) {
    const value = readValue(text, at)
    if ('msg' in value) return value
    at = value.end
    if (value.opens) {
      open.push(value.opens)
      const first = skip(text, at)
      const isEmpty = text[first] === (value.opens === '{' ? '}' : ']')
      if (!isEmpty) {
        const next = value.opens === '{' ? readName(text, first) : { end: first }
        if ('msg' in next) return next
        at = next.end
        continue
      }
      open.pop()
      at = first + 1
    }
    const after = closeAll(text, at, open)
    if ('msg' in after) return after
    if (open.length === 0) return { msg: 'Extra data', at: after.end }
    at = after.end
  }
}

/** What follows a value: ends of what is open, then a comma and, in an object, a name. */
function closeAll(text: string, from: number, open: ('{' | '[')[]): Found | { end: number } {
  let at = skip(text, from)
  for (;;) {
    const kind = open.at(-1)
    if (kind === undefined) return { end: at }
    if (text[at] === (kind === '{' ? '}' : ']')) {
      open.pop()
      at = skip(text, at + 1)
    } else if (text[at] !== ',') return { msg: "Expecting ',' delimiter", at }
    else {
      const next = skip(text, at + 1)
      return kind === '{' ? readName(text, next) : { end: next }
    }
  }
}

function readName(text: string, at: number): Found | { end: number } {
  if (text[at] !== '"') return { msg: names, at }
  const name = readText(text, at)
  if ('msg' in name) return name
  const colon = skip(text, name.end)
  return text[colon] === ':' ? { end: skip(text, colon + 1) } : { msg: "Expecting ':' delimiter", at: colon }
}

function readValue(text: string, at: number): Found | { end: number; opens?: '{' | '[' } {
  const first = text[at]
  if (first === '"') return readText(text, at)
  if (first === '{' || first === '[') return { end: at + 1, opens: first }
  const plain = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y
  plain.lastIndex = at
  const found = plain.exec(text)?.[0]
  return found === undefined ? { msg: 'Expecting value', at } : { end: at + found.length }
}

function readText(text: string, begin: number): Found | { end: number } {
  for (let at = begin + 1; at < text.length; at += 1) {
    const char = text[at] as string
    if (char === '"') return { end: at + 1 }
    if (char < ' ') return { msg: 'Invalid control character at', at }
    if (char !== '\\') continue
    const escaped = text[at + 1]
    if (escaped === undefined) break
    if (escaped === 'u') {
      if (!/^[0-9a-f]{4}$/i.test(text.slice(at + 2, at + 6))) return { msg: 'Invalid \\uXXXX escape', at: at + 1 }
      at += 5
    } else if ('"\\/bfnrt'.includes(escaped)) at += 1
    else return { msg: 'Invalid \\escape', at }
  }
  return { msg: 'Unterminated string starting at', at: begin }
}

function skip(text: string, from: number): number {
  let at = from
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\n' || text[at] === '\r') at += 1
  return at
}
