// One POST to an engine with undici's raw handler: a thousand of them at a time, so without streams between. Ends exactly once.
import type { Dispatcher, Pool } from 'undici'
import { onAbort } from '../core/abort.ts'
import type { Turn } from '../engine/upstream.ts'

export type EngineAsk = { path: string; body: string; abort: AbortSignal }

export type EngineAnswer = { status: number; body: Buffer }

/** Takes the bytes of a 200 as they come; `pause` and `resume` reach the engine through TCP. */
export type ChunkSink = (chunk: Buffer, flow: { pause(): void; resume(): void }) => void

/** The answer of one prompt; 64 MiB are a completion of ten million tokens. */
const longestAnswer = 64 * 2 ** 20

/** @throws EngineBroke where the engine gave no whole answer; the abort's reason */
export function askEngine(pool: Pool, ask: EngineAsk, turn: Turn, sink?: ChunkSink): Promise<EngineAnswer> {
  return new Promise((resolve, reject) => {
    const exchange = new EngineExchange({ turn, sink, resolve, reject })
    const forget = onAbort(ask.abort, () => exchange.abort(ask.abort.reason as Error))
    exchange.onOver = forget
    const { path, body } = ask
    pool.dispatch({ path, method: 'POST', headers, body }, exchange)
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

const headers = ['content-type', 'application/json']

type Ends = {
  turn: Turn
  sink: ChunkSink | undefined
  resolve: (answer: EngineAnswer) => void
  reject: (error: Error) => void
}

class EngineExchange implements Dispatcher.DispatchHandler {
  readonly #ends: Ends
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #length = 0
  #status = 0
  #over = false
  #aborted: Error | undefined
  onOver: () => void = () => {}

  constructor(ends: Ends) {
    this.#ends = ends
  }

  abort(reason: Error): void {
    this.#aborted = reason
    this.#controller?.abort(reason)
    this.#fail(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(this.#aborted)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status
    if (status >= 500) this.#ends.turn.fail()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return
    const { turn, sink } = this.#ends
    const isWork = this.#status < 300
    if (isWork) turn.progress()
    if (isWork && sink) return this.#pass(sink, chunk, controller)
    this.#length += chunk.length
    this.#chunks.push(chunk)
    if (this.#length > longestAnswer) this.abort(new Error(`answer is longer than ${longestAnswer} bytes`))
  }

  onResponseEnd(): void {
    this.#end(() => this.#ends.resolve({ status: this.#status, body: Buffer.concat(this.#chunks) }))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (!this.#over) this.#ends.turn.fail()
    this.#fail(new EngineBroke(error, this.#status > 0))
  }

  /** A throw of the sink ends the exchange with it, and is not taken for the engine's. */
  #pass(sink: ChunkSink, chunk: Buffer, controller: Dispatcher.DispatchController): void {
    try {
      sink(chunk, controller)
    } catch (error) {
      this.abort(error as Error)
    }
  }

  #fail(error: Error): void {
    this.#end(() => this.#ends.reject(error))
  }

  #end(tell: () => void): void {
    if (this.#over) return
    this.#over = true
    this.onOver()
    tell()
  }
}
