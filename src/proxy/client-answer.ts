// The way back to the client, for many small chunks: head and first chunk leave in one write, chunks that come together
// leave together, and we frame chunks ourselves (facts/node.md, design D2). Big chunks are never copied.
import type { ServerResponse } from 'node:http'
import type { ClientHead } from './headers.ts'

/** Below this a copy into one string is cheaper than another system call. */
const smallChunk = 8192
const bodiless = new Set([204, 205, 304])

export class ClientAnswer {
  readonly #response: ServerResponse
  #framing: 'length' | 'chunked' | 'close' | 'none' = 'none'
  #pending = ''
  #scheduled = false
  #begun = false
  #over = false

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** True once the client can have seen anything of an answer. */
  get begun(): boolean {
    return this.#begun
  }

  begin(status: number, message: string | undefined, { headers, hasLength }: ClientHead): void {
    const response = this.#response
    const { method, httpVersionMinor } = response.req
    this.#begun = true
    if (method === 'HEAD' || bodiless.has(status)) this.#framing = 'none'
    else if (hasLength) this.#framing = 'length'
    else this.#framing = httpVersionMinor >= 1 ? 'chunked' : 'close'
    if (this.#framing === 'chunked') headers.push('transfer-encoding', 'chunked')
    if (this.#framing === 'close') response.shouldKeepAlive = false
    if (message) response.writeHead(status, message, headers)
    else response.writeHead(status, headers)
    // We frame: Node must not frame once more.
    if (this.#framing === 'chunked') response.chunkedEncoding = false
    this.#schedule()
  }

  write(chunk: Buffer): void {
    if (this.#framing === 'none' || chunk.length === 0) return
    if (chunk.length >= smallChunk) return this.#writeBig(chunk)
    this.#pending +=
      this.#framing === 'chunked'
        ? `${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`
        : chunk.toString('latin1')
    this.#schedule()
  }

  end(): void {
    this.#over = true
    const last = this.#framing === 'chunked' ? `${this.#pending}0\r\n\r\n` : this.#pending
    if (last === '') this.#response.end()
    else this.#response.end(last, 'latin1')
  }

  /** Ends it so that no client takes it for whole. */
  truncate(): void {
    this.#over = true
    const { socket } = this.#response
    // Without a length a clean close would look like the end: a reset does not.
    if (this.#framing === 'close') socket?.resetAndDestroy()
    else this.#response.destroy()
  }

  #writeBig(chunk: Buffer): void {
    const chunked = this.#framing === 'chunked'
    const before = chunked ? `${this.#pending}${chunk.length.toString(16)}\r\n` : this.#pending
    this.#pending = ''
    this.#response.cork()
    if (before !== '') this.#response.write(before, 'latin1')
    this.#response.write(chunk)
    this.#response.uncork()
    if (chunked) {
      this.#pending = '\r\n'
      this.#schedule()
    }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    if (this.#over) return
    if (this.#pending === '') return this.#response.flushHeaders()
    const text = this.#pending
    this.#pending = ''
    this.#response.write(text, 'latin1')
  }
}
