// One try of one request at one engine: undici's raw handler, tied to the client's response. Every try ends exactly once.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { Turn } from '../engine/upstream.ts'
import { ClientAnswer } from './client-answer.ts'
import { toClientHead } from './headers.ts'

export type Ending =
  | { how: 'answered' }
  | { how: 'client-left' }
  /** The answer had begun: it was cut short. */
  | { how: 'truncated'; error: Error }
  /** Nothing has reached the client. `sent`: bytes may have reached the engine. */
  | { how: 'failed'; error: Error; sent: boolean }

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #answer: ClientAnswer
  readonly #turn: Turn
  readonly #onEnd: (ending: Ending) => void
  #controller: Dispatcher.DispatchController | undefined
  /** The API server itself answers GETs, refusals and heads, also while its core hangs: they prove no life (D4). */
  #isWork = false
  #sent = false
  #left = false
  #over = false

  constructor(io: { request: IncomingMessage; response: ServerResponse; turn: Turn; onEnd: (ending: Ending) => void }) {
    this.#request = io.request
    this.#response = io.response
    this.#turn = io.turn
    this.#onEnd = io.onEnd
    this.#answer = new ClientAnswer(io.response)
    this.#response.once('close', this.#onClose)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#left) return controller.abort(new Error('the client left'))
    this.#sent = true
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    message?: string,
  ): void {
    // undici calls this for 1xx too, and there is one head to write.
    if (status < 200 || this.#left) return
    if (status === 500 || status === 503) this.#turn.fail()
    this.#isWork = this.#request.method === 'POST' && status < 300
    this.#answer.begin(status, message, toClientHead(controller.rawHeaders as Buffer[]))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isWork) this.#turn.progress()
    if (this.#left) return
    this.#answer.write(chunk)
    if (!this.#response.writableNeedDrain || controller.paused) return
    controller.pause()
    this.#response.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    if (this.#over) return
    this.#answer.end()
    this.#end({ how: 'answered' })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#left) return this.#end({ how: 'client-left' })
    this.#turn.fail()
    if (!this.#answer.begun) return this.#end({ how: 'failed', error, sent: this.#sent })
    if (!this.#over) this.#answer.truncate()
    this.#end({ how: 'truncated', error })
  }

  /** Also fires after a good end; then the try is over already. */
  readonly #onClose = (): void => {
    if (this.#over) return
    this.#left = true
    if (this.#controller) this.#controller.abort(new Error('the client left'))
    if (!this.#request.complete) this.#request.destroy()
  }

  #end(ending: Ending): void {
    if (this.#over) return
    this.#over = true
    this.#turn[Symbol.dispose]()
    this.#onEnd(ending)
  }
}
