// Finds `model` at the top of a JSON body while it arrives, without parsing the body: prompts are long, and the answer is mostly in
// its first bytes. Looks at each byte once.

export type ScanResult =
  | { kind: 'model'; model: string }
  /** No object, no such key, or no text behind it: nothing to be found in what follows. */
  | { kind: 'none' }

export interface ModelScan {
  /** undefined: more is needed. */
  feed(chunk: Buffer): ScanResult | undefined
}

/** Bytes of a key or a name; longer ones are neither `model` nor a model. */
const longest = 4096
const none: ScanResult = { kind: 'none' }
const [quote, backslash, open, close, openList, closeList, colon, comma] = [...Buffer.from('"\\{}[]:,')] as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
]

export function createModelScan(): ModelScan {
  // What comes next at the top level: `key`, `colon`, or a `value` to be skipped or taken.
  const at = { depth: 0, next: 'key' as 'key' | 'colon' | 'value', isModel: false, inText: false, escaped: false }
  let text: number[] | undefined
  let result: ScanResult | undefined

  function endText(): void {
    const found = text && toText(text)
    text = undefined
    if (at.depth !== 1) return
    if (at.next === 'key') {
      at.isModel = found === 'model'
      at.next = 'colon'
    } else if (at.next === 'value' && at.isModel) result = found === undefined ? none : { kind: 'model', model: found }
  }

  function seeText(byte: number): void {
    if (at.escaped) at.escaped = false
    else if (byte === backslash) at.escaped = true
    else if (byte === quote) {
      at.inText = false
      return endText()
    }
    if (text && text.push(byte) > longest) text = undefined
  }

  function see(byte: number): void {
    if (byte === quote) {
      at.inText = true
      text = at.depth === 1 && (at.next === 'key' || (at.next === 'value' && at.isModel)) ? [] : undefined
    } else if (byte === open || byte === openList) {
      if (at.depth === 0 && byte === openList) result = none
      // `"model": {` is no name.
      else if (at.depth === 1 && at.isModel && at.next === 'value') result = none
      at.depth += 1
    } else if (byte === close || byte === closeList) {
      at.depth -= 1
      if (at.depth <= 0) result = none
    } else if (at.depth === 1 && byte === colon) at.next = 'value'
    else if (at.depth === 1 && byte === comma) {
      if (at.isModel) result = none
      at.next = 'key'
      at.isModel = false
    } else if (at.depth === 0 && byte > 0x20 && byte < 0x80) result = none
  }

  return {
    feed(chunk) {
      for (let index = 0; index < chunk.length && !result; index += 1) {
        // A prompt or a picture: nothing in it counts but its end.
        if (at.inText && !text && !at.escaped) index = skipText(chunk, index)
        const byte = chunk[index]
        if (byte === undefined) break
        if (at.inText) seeText(byte)
        else see(byte)
      }
      return result
    },
  }
}

function skipText(chunk: Buffer, from: number): number {
  let at = from
  for (; at < chunk.length; at += 1) if (chunk[at] === quote || chunk[at] === backslash) break
  return at
}

function toText(bytes: readonly number[]): string | undefined {
  try {
    return JSON.parse(`"${Buffer.from(bytes).toString('utf8')}"`) as string
  } catch {
    return undefined
  }
}
