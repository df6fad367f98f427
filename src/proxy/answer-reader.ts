// Reads the answers on an engine's connection (HTTP/1.1, RFC 9112) off the memory that the bytes came in: nothing is copied, and
// the body is handed on as it comes. What is malformed throws: the connection is of no use then.

export type AnswerHead = {
  /** 200 and above: interim answers are passed over. */
  status: number
  message: string
  /** Flat name, value, name, value…, latin1. */
  headers: string[]
}

export interface AnswerTaker {
  head(head: AnswerHead): void
  /** `bytes` from `from` to before `to` belong to the body; they are overwritten after the call. */
  body(bytes: Buffer, from: number, to: number): void
  /** Whole chunks with their framing, for who passes them on as they are. @returns false: it wants them as `body` */
  frames?(bytes: Buffer, from: number, to: number): boolean
}

type Part = 'head' | 'length' | 'until-close' | 'size' | 'chunk' | 'chunk-end' | 'trailer' | 'over'

/** As large as what we take of clients (http/server.ts). */
const longestHead = 65_536
const longestLine = 16_384
const [lf, cr] = [0x0a, 0x0d]

export class AnswerReader {
  #part: Part = 'over'
  #taker: AnswerTaker | undefined
  #isHead = false
  #reusable = false
  /** The beginning of a head whose end has not come yet. */
  #held = ''
  /** Bytes to come of the body or of the chunk. */
  #left = 0
  /** Of the line of a chunk's size: hex digits, whether they are over, and its length. Of the trailer: its length. */
  #digits = 0
  #sized = false
  #line = 0
  #last = 0

  /** @param isHead the request was a HEAD: its answer has no body, whatever it says */
  begin(taker: AnswerTaker, isHead: boolean): void {
    this.#taker = taker
    this.#isHead = isHead
    this.#part = 'head'
    this.#held = ''
  }

  get isOver(): boolean {
    return this.#part === 'over'
  }

  /** Once it is over: another request may follow on this connection. */
  get isReusable(): boolean {
    return this.#reusable
  }

  /** The engine closed the connection. @returns whether that is how the answer ends */
  close(): boolean {
    return this.#part === 'until-close'
  }

  /** @returns where it stopped: `end`, or before where the answer was over. @throws what is malformed */
  read(bytes: Buffer, end: number): number {
    let at = 0
    while (at < end && this.#part !== 'over') at = this.#readPart(bytes, at, end)
    return at
  }

  #readPart(bytes: Buffer, at: number, end: number): number {
    switch (this.#part) {
      case 'head':
        return this.#readHead(bytes, at, end)
      case 'size':
        return this.#passFrames(bytes, at, end) || this.#readSize(bytes, at, end)
      case 'length':
      case 'chunk':
        return this.#readBody(bytes, at, end)
      case 'chunk-end':
        return this.#readChunkEnd(bytes, at)
      case 'trailer':
        return this.#readTrailer(bytes, at, end)
      case 'until-close':
        this.#taker?.body(bytes, at, end)
        return end
      case 'over':
        return at
    }
  }

  #readHead(bytes: Buffer, at: number, end: number): number {
    const text = this.#held + bytes.toString('latin1', at, end)
    const stop = text.indexOf('\r\n\r\n', Math.max(0, this.#held.length - 3))
    if (stop > longestHead || (stop < 0 && text.length > longestHead))
      throw bad(`a head of more than ${longestHead} bytes`)
    if (stop < 0) {
      this.#held = text
      return end
    }
    const after = at + stop + 4 - this.#held.length
    this.#held = ''
    this.#takeHead(text.slice(0, stop))
    return after
  }

  #takeHead(text: string): void {
    const lines = text.split('\r\n')
    const first = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/.exec(lines[0] ?? '')
    if (!first) throw bad(`no status line: ${JSON.stringify(lines[0]?.slice(0, 100))}`)
    const status = Number(first[2])
    if (status === 101) throw bad('an upgrade that nobody asked for')
    if (status < 200) return
    const headers = parseHeaders(lines)
    this.#frame(status, first[1] === '1', headers)
    this.#taker?.head({ status, message: first[3] ?? '', headers })
  }

  /** How the body ends (RFC 9112 6.3). */
  #frame(status: number, isNew: boolean, headers: readonly string[]): void {
    const { length, encoding, closes } = readFraming(headers)
    this.#reusable = isNew && !closes
    if (encoding !== undefined && length !== undefined) throw bad('both a content-length and a transfer-encoding')
    if (this.#isHead || status === 204 || status === 304) this.#part = 'over'
    else if (encoding !== undefined) this.#beginSize()
    else if (length !== undefined) {
      this.#left = length
      this.#part = length > 0 ? 'length' : 'over'
    } else {
      this.#part = 'until-close'
      this.#reusable = false
    }
  }

  #readBody(bytes: Buffer, at: number, end: number): number {
    const stop = Math.min(end, at + this.#left)
    this.#left -= stop - at
    if (this.#left === 0) this.#part = this.#part === 'chunk' ? 'chunk-end' : 'over'
    this.#last = 0
    this.#taker?.body(bytes, at, stop)
    return stop
  }

  /** Streams come in whole chunks, mostly: those are not taken apart. @returns where they end, 0 where there is none */
  #passFrames(bytes: Buffer, at: number, end: number): number {
    if (this.#line > 0 || !this.#taker?.frames) return 0
    const stop = findFramesEnd(bytes, at, end)
    return stop > at && this.#taker.frames(bytes, at, stop) ? stop : 0
  }

  #beginSize(): void {
    this.#part = 'size'
    this.#left = 0
    this.#digits = 0
    this.#sized = false
    this.#line = 0
    this.#last = 0
  }

  /** `1a2b;extension\r\n` */
  #readSize(bytes: Buffer, from: number, end: number): number {
    for (let at = from; at < end; at += 1) {
      const byte = bytes[at] ?? 0
      if (byte === lf) {
        if (this.#last !== cr || this.#digits === 0) throw bad('the size of a chunk')
        this.#line = 0
        this.#digits = 0
        this.#part = this.#left === 0 ? 'trailer' : 'chunk'
        return at + 1
      }
      const digit = this.#sized ? -1 : toDigit(byte)
      if (digit >= 0) {
        this.#left = this.#left * 16 + digit
        this.#digits += 1
      } else if (this.#sized || byte === cr || byte === 0x3b || byte === 0x20 || byte === 0x09) this.#sized = true
      else throw bad('the size of a chunk')
      this.#last = byte
      if ((this.#line += 1) > longestLine || this.#digits > 12) throw bad('the size of a chunk')
    }
    return end
  }

  #readChunkEnd(bytes: Buffer, at: number): number {
    const byte = bytes[at]
    if (byte === cr && this.#last !== cr) this.#last = cr
    else if (byte === lf && this.#last === cr) this.#beginSize()
    else throw bad('a chunk that is longer than it says')
    return at + 1
  }

  /** Passed over, up to the empty line after it. `#digits`: how long its present line is. */
  #readTrailer(bytes: Buffer, from: number, end: number): number {
    for (let at = from; at < end; at += 1) {
      const byte = bytes[at]
      if ((this.#line += 1) > longestLine) throw bad(`a trailer of more than ${longestLine} bytes`)
      if (byte === lf && this.#digits === 0) {
        this.#part = 'over'
        return at + 1
      }
      if (byte === lf) this.#digits = 0
      else if (byte !== cr) this.#digits += 1
    }
    return end
  }
}

/** Behind the last of the plain chunks that lie whole between `from` and `end`; never behind the empty one. */
function findFramesEnd(bytes: Buffer, from: number, end: number): number {
  for (let stop = from; ;) {
    let [at, size] = [stop, 0]
    // Longer sizes, and extensions, are read bit by bit.
    for (const last = Math.min(end, stop + 8); at < last; at += 1) {
      const digit = toDigit(bytes[at] ?? 0)
      if (digit < 0) break
      size = size * 16 + digit
    }
    const over = at + size + 4
    if (size === 0 || over > end || !isLineEnd(bytes, at) || !isLineEnd(bytes, over - 2)) return stop
    stop = over
  }
}

function isLineEnd(bytes: Buffer, at: number): boolean {
  return bytes[at] === cr && bytes[at + 1] === lf
}

function parseHeaders(lines: readonly string[]): string[] {
  const headers: string[] = []
  for (let at = 1; at < lines.length; at += 1) {
    const line = lines[at] ?? ''
    const colon = line.indexOf(':')
    // Folded lines and blanks before the colon: others may read them otherwise than we do.
    if (colon <= 0 || isBlank(line.charCodeAt(0)) || isBlank(line.charCodeAt(colon - 1)))
      throw bad(`a header line: ${JSON.stringify(line.slice(0, 100))}`)
    headers.push(line.slice(0, colon), trim(line, colon + 1))
  }
  return headers
}

/** Spaces and tabs only: latin1 has other white space, which belongs to the value. */
function trim(line: string, from: number): string {
  let [start, stop] = [from, line.length]
  while (start < stop && isBlank(line.charCodeAt(start))) start += 1
  while (stop > start && isBlank(line.charCodeAt(stop - 1))) stop -= 1
  return line.slice(start, stop)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

function readFraming(headers: readonly string[]) {
  const found: { length?: number; encoding?: string; closes: boolean } = { closes: false }
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? ''
    const value = headers[at + 1] ?? ''
    // Only these lengths can be one of the three.
    if (name.length === 14 && name.toLowerCase() === 'content-length') {
      const length = /^\d{1,15}$/.test(value) ? Number(value) : -1
      if (length < 0 || (found.length ?? length) !== length) throw bad(`content-length ${value.slice(0, 100)}`)
      found.length = length
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      if (value.toLowerCase() !== 'chunked' || found.encoding !== undefined)
        throw bad(`transfer-encoding ${value.slice(0, 100)}`)
      found.encoding = 'chunked'
    } else if (name.length === 10 && name.toLowerCase() === 'connection') {
      found.closes ||= /(?:^|,)\s*close\s*(?:,|$)/i.test(value)
    }
  }
  return found
}

function toDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function bad(what: string): Error {
  return Object.assign(new Error(`the engine's answer is no HTTP: ${what}`), { code: 'BAD_ANSWER' })
}
