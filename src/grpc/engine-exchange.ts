// One POST to an engine on a connection of the data path: whole answers are collected, streamed ones passed on. Ends exactly once.
import { onAbort } from '../core/abort.ts'
import type { Turn } from '../engine/upstream.ts'
import type { AnswerHead } from '../proxy/answer-reader.ts'
import type { ConnectionPool } from '../proxy/connection-pool.ts'
import type { EngineConnection, Flight } from '../proxy/engine-connection.ts'

export type EngineAsk = { path: string; body: string; port: number; abort: AbortSignal }

export type EngineAnswer = { status: number; body: Buffer }

/** Of one try; they reach the engine through TCP, and do nothing once the try is over. */
export type Flow = { pause(): void; resume(): void }

/** Takes the bytes of a 200 as they come. `open`: before each try. */
export interface AnswerSink {
  open(flow: Flow): void
  take(chunk: Buffer): void
}

/** The answer of one prompt; 64 MiB are a completion of ten million tokens. */
const longestAnswer = 64 * 2 ** 20

/** @throws EngineBroke where the engine gave no whole answer; the abort's reason */
export function askEngine(pool: ConnectionPool, ask: EngineAsk, turn: Turn, sink?: AnswerSink): Promise<EngineAnswer> {
  return new Promise((resolve, reject) => {
    const exchange = new EngineExchange({ turn, sink, resolve, reject })
    const { path, port, abort } = ask
    exchange.onOver = onAbort(abort, () => {
      // Forgotten already: to look for it among a thousand others, a thousand times, takes up to 10 ms.
      exchange.onOver = () => {}
      exchange.abort(abort.reason as Error)
    })
    const body = Buffer.from(ask.body)
    const type = 'content-type: application/json'
    const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n${type}\r\ncontent-length: ${body.length}\r\n\r\n`
    pool.dispatch({ method: 'POST', head, body }, exchange)
  })
}

/** Nothing answers at the other end any more. `begun`: bytes of an answer had come. */
export class EngineBroke extends Error {
  override readonly name = 'EngineBroke'
  readonly begun: boolean

  constructor(cause: Error, begun: boolean) {
    super(`the engine broke off: ${cause.message}`, { cause })
    this.begun = begun
  }
}

type Ends = {
  turn: Turn
  sink: AnswerSink | undefined
  resolve: (answer: EngineAnswer) => void
  reject: (error: Error) => void
}

class EngineExchange implements Flight {
  readonly #ends: Ends
  readonly #chunks: Buffer[] = []
  readonly #flow: Flow = { pause: () => this.#connection?.pause(this), resume: () => this.#connection?.resume(this) }
  #connection: EngineConnection | undefined
  #length = 0
  #status = 0
  #over = false
  onOver: () => void = () => {}

  constructor(ends: Ends) {
    this.#ends = ends
  }

  abort(reason: Error): void {
    if (this.#over) return
    this.#end(() => this.#ends.reject(reason))
    this.#connection?.abort(this)
  }

  board(connection: EngineConnection): void {
    this.#connection = connection
    this.#ends.sink?.open(this.#flow)
  }

  sent(): void {}

  head({ status }: AnswerHead): void {
    this.#status = status
    if (status === 500 || status === 503) this.#ends.turn.fail()
  }

  /** The memory is the connection's: what is kept is copied. */
  body(bytes: Buffer, from: number, to: number): void {
    const chunk = Buffer.from(bytes.subarray(from, to))
    this.#length += chunk.length
    if (this.#passesOn) return this.#pass(chunk)
    this.#chunks.push(chunk)
    if (this.#length > longestAnswer) this.abort(new Error(`the answer is longer than ${longestAnswer} bytes`))
  }

  flush(): void {
    if (this.#status < 300) this.#ends.turn.progress()
  }

  end(): void {
    this.flush()
    this.#end(() => this.#ends.resolve({ status: this.#status, body: Buffer.concat(this.#chunks) }))
  }

  fail(error: Error): void {
    if (this.#over) return
    this.#ends.turn.fail()
    this.#end(() => this.#ends.reject(new EngineBroke(error, this.#status > 0)))
  }

  get #passesOn(): boolean {
    return this.#status < 300 && this.#ends.sink !== undefined
  }

  /** A throw of the sink ends the exchange with it, and is not taken for the engine's. */
  #pass(chunk: Buffer): void {
    try {
      this.#ends.sink?.take(chunk)
    } catch (error) {
      this.abort(error as Error)
    }
  }

  #end(tell: () => void): void {
    if (this.#over) return
    this.#over = true
    this.onOver()
    tell()
  }
}
