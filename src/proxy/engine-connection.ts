// One connection to an engine on loopback, one request at a time (HTTP/1.1 without pipelining). Bytes are read into one piece of
// memory that all connections share, which is what makes a streamed chunk cheap.
import { connect, type Socket } from 'node:net'
import { onceDrained } from './drained.ts'
import { AnswerReader, type AnswerTaker } from './answer-reader.ts'

export type EngineAsk = {
  method: string
  /** Request line and headers, with the empty line at their end; latin1. */
  head: string
  /** Whole bodies go out with the head. `framed`: each part becomes a chunk. */
  body?: Buffer | { parts: AsyncIterable<Buffer>; framed: boolean }
}

/** One try of a request. After `end` or `fail` nothing more comes. */
export interface Flight extends AnswerTaker {
  /** It has this connection now, and may get another one as long as nothing was sent. */
  board(connection: EngineConnection): void
  /** From here on bytes may have reached the engine. */
  sent(): void
  /** What came together is over. */
  flush(): void
  end(): void
  fail(error: Error): void
}

export interface ConnectionOwner {
  /** It may take another request. */
  free(connection: EngineConnection): void
  closed(connection: EngineConnection): void
  /** Calls `looked` once whatever has come on it was read: its end, too. */
  look(connection: EngineConnection): void
  /** The engine had closed an idle connection before anything was sent on it. */
  again(ask: EngineAsk, flight: Flight): void
}

/** Reads are synchronous, from the read to the end of its callback: one piece serves all. */
const shared = Buffer.allocUnsafeSlow(65_536)

export class EngineConnection {
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  readonly #reader = new AnswerReader()
  #state: 'connecting' | 'idle' | 'looking' | 'busy' | 'closed' = 'connecting'
  #ask: EngineAsk | undefined
  #flight: Flight | undefined
  #error: Error | undefined
  #isPaused = false
  /** The body of the request is out. */
  #isAsked = false
  /** performance.now() of the last change of state, or of the look that found bytes. */
  #movedAt = performance.now()
  /** Since the last look: a clock for each chunk would cost more than it tells. */
  #hasMoved = false

  constructor(port: number, owner: ConnectionOwner) {
    this.#owner = owner
    const onread = { buffer: shared, callback: (length: number) => this.#read(length) }
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread })
    this.#socket.once('connect', () => this.#opened())
    this.#socket.once('end', () => this.#ended())
    this.#socket.once('error', (error) => (this.#error ??= error))
    this.#socket.once('close', () => this.#closed())
  }

  get state() {
    return this.#state
  }

  /** Asked at every look of the pool. @returns performance.now() of its last sign of life, or of the client's upload; late by the time between two looks */
  lookMovedAt(now: number): number {
    if (this.#hasMoved) this.#movedAt = now
    this.#hasMoved = false
    return this.#movedAt
  }

  start(ask: EngineAsk, flight: Flight): void {
    this.#ask = ask
    this.#flight = flight
    flight.board(this)
    if (this.#state !== 'idle') return
    this.#state = 'looking'
    this.#owner.look(this)
  }

  /** After `look`: the connection is still open. */
  looked(): void {
    if (this.#state === 'looking' && !this.#socket.destroyed) this.#send()
  }

  /** Neither does anything once the flight has ended. */
  pause(flight: Flight): void {
    if (this.#flight !== flight || this.#isPaused) return
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(flight: Flight): void {
    if (this.#flight === flight) this.#resume()
  }

  /** Closes it, and the flight hears nothing more. */
  abort(flight: Flight): void {
    if (this.#flight !== flight) return
    this.#flight = undefined
    this.#socket.destroy()
  }

  /** Whatever runs on it fails. An idle one is given to nobody from now on; its socket needs a moment longer to close. */
  destroy(error?: Error): void {
    this.#error ??= error
    if (this.#state === 'idle') {
      this.#state = 'closed'
      this.#owner.closed(this)
    }
    this.#socket.destroy()
  }

  #opened(): void {
    this.#state = 'idle'
    this.#movedAt = performance.now()
    if (this.#flight) this.#send()
    else this.#owner.free(this)
  }

  #send(): void {
    const [ask, flight] = [this.#ask, this.#flight]
    if (!ask || !flight) return
    this.#state = 'busy'
    this.#isAsked = true
    flight.sent()
    this.#reader.begin(flight, ask.method === 'HEAD')
    if (ask.body === undefined) this.#socket.write(ask.head, 'latin1')
    else if (Buffer.isBuffer(ask.body)) this.#socket.write(ask.head + ask.body.toString('latin1'), 'latin1')
    else {
      this.#isAsked = false
      void this.#sendParts(ask.head, ask.body, flight)
    }
  }

  async #sendParts(
    head: string,
    body: { parts: AsyncIterable<Buffer>; framed: boolean },
    flight: Flight,
  ): Promise<void> {
    const socket = this.#socket
    try {
      socket.write(head, 'latin1')
      for await (const part of body.parts) {
        if (this.#flight !== flight) return
        if (part.length === 0) continue
        this.#hasMoved = true
        socket.cork()
        if (body.framed) socket.write(`${part.length.toString(16)}\r\n`, 'latin1')
        const isFull = !socket.write(part)
        if (body.framed) socket.write('\r\n', 'latin1')
        socket.uncork()
        if (isFull && socket.writableNeedDrain) await onceDrained(socket)
      }
      if (this.#flight !== flight) return
      if (body.framed) socket.write('0\r\n\r\n', 'latin1')
      this.#isAsked = true
    } catch (error) {
      if (this.#flight === flight) this.destroy(error as Error)
    }
  }

  #read(length: number): boolean {
    const flight = this.#flight
    this.#hasMoved = true
    if (this.#state !== 'busy' || !flight) {
      // Nobody asked for it.
      this.destroy()
      return false
    }
    try {
      const stop = this.#reader.read(shared, length)
      if (this.#flight !== flight) return false
      if (this.#reader.isOver) this.#finish(flight, stop === length)
      else flight.flush()
    } catch (error) {
      this.destroy(error as Error)
      return false
    }
    return true
  }

  #finish(flight: Flight, isClean: boolean): void {
    this.#flight = undefined
    this.#ask = undefined
    if (isClean && this.#isAsked && this.#reader.isReusable && !this.#socket.destroyed) {
      this.#state = 'idle'
      this.#movedAt = performance.now()
      this.#hasMoved = false
      this.#resume()
      this.#owner.free(this)
    } else this.#socket.destroy()
    flight.end()
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#socket.resume()
  }

  #ended(): void {
    const flight = this.#flight
    if (this.#state === 'busy' && flight && this.#reader.close()) {
      this.#flight = undefined
      flight.end()
    }
    this.destroy()
  }

  #closed(): void {
    const [ask, flight, before] = [this.#ask, this.#flight, this.#state]
    if (before === 'closed') return
    this.#state = 'closed'
    this.#flight = undefined
    this.#owner.closed(this)
    if (!flight || !ask) return
    if (before === 'looking') return this.#owner.again(ask, flight)
    flight.fail(this.#error ?? Object.assign(new Error('the engine closed the connection'), { code: 'ECONNRESET' }))
  }
}
