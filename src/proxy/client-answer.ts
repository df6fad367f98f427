// The way back to the client, for many small chunks: what came together leaves in one write, the head with the first of it, and we
// frame chunks ourselves (facts/node.md, design D2). Big chunks are copied once, small ones only into the text that is written.
import type { ServerResponse } from 'node:http'
import type { ClientHead } from './headers.ts'

/** Below this a copy into one string is cheaper than another system call. */
const smallChunk = 8192
const bodiless = new Set([204, 205, 304])

export class ClientAnswer {
  readonly #response: ServerResponse
  #framing: 'length' | 'chunked' | 'close' | 'none' = 'none'
  #pending = ''
  #begun = false
  #isHeadOut = false

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** True once the client can have seen anything of an answer. */
  get begun(): boolean {
    return this.#begun
  }

  /** @throws where a header is none: then nothing has begun */
  begin(status: number, message: string, { headers, hasLength }: ClientHead): void {
    const response = this.#response
    const { method, httpVersionMinor } = response.req
    if (method === 'HEAD' || bodiless.has(status)) this.#framing = 'none'
    else if (hasLength) this.#framing = 'length'
    else this.#framing = httpVersionMinor >= 1 ? 'chunked' : 'close'
    if (this.#framing === 'chunked') headers.push('transfer-encoding', 'chunked')
    if (this.#framing === 'close') response.shouldKeepAlive = false
    if (message) response.writeHead(status, message, headers)
    else response.writeHead(status, headers)
    // We frame: Node must not frame once more.
    if (this.#framing === 'chunked') response.chunkedEncoding = false
    this.#begun = true
  }

  /** Goes out with the next `flush` or `end`. */
  write(bytes: Buffer, from: number, to: number): void {
    if (this.#framing === 'none') return
    const chunked = this.#framing === 'chunked'
    if (chunked) this.#pending += `${(to - from).toString(16)}\r\n`
    if (to - from < smallChunk) this.#pending += bytes.toString('latin1', from, to)
    else this.#writeBig(Buffer.from(bytes.subarray(from, to)))
    if (chunked) this.#pending += '\r\n'
  }

  /** Chunks as the engine framed them. @returns false where the client gets no chunks */
  writeFrames(bytes: Buffer, from: number, to: number): boolean {
    if (this.#framing !== 'chunked') return false
    if (to - from < smallChunk) this.#pending += bytes.toString('latin1', from, to)
    else this.#writeBig(Buffer.from(bytes.subarray(from, to)))
    return true
  }

  /** @returns false: the client reads slower than the engine writes; `onceDrained` tells when it can take more */
  flush(): boolean {
    if (!this.#begun) return true
    const text = this.#pending
    this.#pending = ''
    if (text !== '') {
      if (this.#send(text)) return true
    } else if (!this.#isHeadOut) {
      this.#isHeadOut = true
      this.#response.flushHeaders()
    }
    return !pickOut(this.#response).writableNeedDrain
  }

  end(): void {
    const last = this.#framing === 'chunked' ? `${this.#pending}0\r\n\r\n` : this.#pending
    if (last === '') this.#response.end()
    else this.#response.end(last, 'latin1')
  }

  /** Ends it so that no client takes it for whole. */
  truncate(): void {
    const { socket } = this.#response
    // Without a length a clean close would look like the end: a reset does not.
    if (this.#framing === 'close') socket?.resetAndDestroy()
    else this.#response.destroy()
  }

  onceDrained(then: () => void): void {
    pickOut(this.#response).once('drain', then)
  }

  #send(chunk: string | Buffer): boolean {
    const { socket } = this.#response
    // The head is out: what Node's response would do to a part of the body, we have done.
    if (this.#isHeadOut && socket) return socket.write(chunk as string, 'latin1')
    this.#isHeadOut = true
    return this.#response.write(chunk, 'latin1')
  }

  #writeBig(chunk: Buffer): void {
    const { socket } = this.#response
    const text = this.#pending
    this.#pending = ''
    socket?.cork()
    if (text !== '') this.#send(text)
    this.#send(chunk)
    socket?.uncork()
  }
}

/** A response that waits for its turn behind others (pipelining) has no socket yet. */
function pickOut(response: ServerResponse) {
  return response.socket ?? response
}
