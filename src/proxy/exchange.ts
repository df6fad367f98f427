// One try of one request at one engine: what comes from the engine goes to the client's response. Every try ends exactly once.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Turn } from '../engine/upstream.ts'
import type { AnswerHead } from './answer-reader.ts'
import { ClientAnswer } from './client-answer.ts'
import type { EngineConnection, Flight } from './engine-connection.ts'
import { toClientHead } from './headers.ts'

export type Ending =
  | { how: 'answered' }
  | { how: 'client-left' }
  /** The answer had begun: it was cut short. */
  | { how: 'truncated'; error: Error }
  /** Nothing has reached the client. `sent`: bytes may have reached the engine. */
  | { how: 'failed'; error: Error; sent: boolean }

export class Exchange implements Flight {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #answer: ClientAnswer
  readonly #turn: Turn
  readonly #onEnd: (ending: Ending) => void
  #connection: EngineConnection | undefined
  /** The API server itself answers GETs, refusals and heads, also while its core hangs: they prove no life (D4). */
  #isWork = false
  #sent = false
  #paused = false
  #over = false

  constructor(io: { request: IncomingMessage; response: ServerResponse; turn: Turn; onEnd: (ending: Ending) => void }) {
    this.#request = io.request
    this.#response = io.response
    this.#turn = io.turn
    this.#onEnd = io.onEnd
    this.#answer = new ClientAnswer(io.response)
    this.#response.once('close', this.#onClose)
  }

  board(connection: EngineConnection): void {
    this.#connection = connection
  }

  sent(): void {
    this.#sent = true
  }

  head({ status, message, headers }: AnswerHead): void {
    if (status === 500 || status === 503) this.#turn.fail()
    this.#isWork = this.#request.method === 'POST' && status < 300
    this.#answer.begin(status, message, toClientHead(headers))
  }

  body(bytes: Buffer, from: number, to: number): void {
    this.#answer.write(bytes, from, to)
  }

  frames(bytes: Buffer, from: number, to: number): boolean {
    return this.#answer.writeFrames(bytes, from, to)
  }

  flush(): void {
    if (this.#isWork) this.#turn.progress()
    if (this.#answer.flush() || this.#paused) return
    this.#paused = true
    this.#connection?.pause(this)
    this.#answer.onceDrained(() => {
      this.#paused = false
      this.#connection?.resume(this)
    })
  }

  end(): void {
    if (this.#isWork) this.#turn.progress()
    this.#answer.end()
    this.#end({ how: 'answered' })
  }

  fail(error: Error): void {
    this.#turn.fail()
    if (!this.#answer.begun) return this.#end({ how: 'failed', error, sent: this.#sent })
    this.#answer.truncate()
    this.#end({ how: 'truncated', error })
  }

  /** Also fires after a good end; then the try is over already. */
  readonly #onClose = (): void => {
    if (this.#over) return
    this.#connection?.abort(this)
    if (!this.#request.complete) this.#request.destroy()
    this.#end({ how: 'client-left' })
  }

  #end(ending: Ending): void {
    if (this.#over) return
    this.#over = true
    this.#turn[Symbol.dispose]()
    this.#onEnd(ending)
  }
}
