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
  /** The engine mines and computed nothing; nothing has reached the client. */
  | { how: 'declined' }

/** A refusal is a line of JSON. */
const longestRefusal = 4096

/** The overlays', and the plugin's (facts/vllm.md 2.10). */
const isPocRefusal = (text: string) =>
  text.includes('PoC generation is active') || text.includes('poc_generation_active')

type ExchangeOptions = {
  request: IncomingMessage
  response: ServerResponse
  turn: Turn
  /** Another engine may be asked instead of this one. */
  hasElsewhere: () => boolean
  onEnd: (ending: Ending) => void
}

export class Exchange implements Flight {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #answer: ClientAnswer
  readonly #turn: Turn
  readonly #hasElsewhere: () => boolean
  readonly #onEnd: (ending: Ending) => void
  /** A 503 that is read whole before the client gets it: it may be one that only this engine gives. */
  #held: { head: AnswerHead; parts: Buffer[]; size: number } | undefined
  #connection: EngineConnection | undefined
  /** The API server itself answers GETs, refusals and heads, also while its core hangs: they prove no life (D4). */
  #isWork = false
  #sent = false
  #paused = false
  #over = false

  constructor(io: ExchangeOptions) {
    this.#request = io.request
    this.#response = io.response
    this.#turn = io.turn
    this.#hasElsewhere = io.hasElsewhere
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

  head(head: AnswerHead): void {
    const { status } = head
    if (status === 500 || status === 503) this.#turn.fail()
    this.#isWork = this.#request.method === 'POST' && status < 300
    if (status === 503 && this.#hasElsewhere()) this.#held = { head, parts: [], size: 0 }
    else this.#begin(head)
  }

  body(bytes: Buffer, from: number, to: number): void {
    if (!this.#held) return this.#answer.write(bytes, from, to)
    this.#held.parts.push(Buffer.from(bytes.subarray(from, to)))
    this.#held.size += to - from
    if (this.#held.size > longestRefusal) this.#release()
  }

  frames(bytes: Buffer, from: number, to: number): boolean {
    return this.#held === undefined && this.#answer.writeFrames(bytes, from, to)
  }

  flush(): void {
    if (this.#held) return
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
    if (this.#held && isPocRefusal(Buffer.concat(this.#held.parts).toString())) return this.#end({ how: 'declined' })
    this.#release()
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

  #begin({ status, message, headers }: AnswerHead): void {
    this.#answer.begin(status, message, toClientHead(headers))
  }

  #release(): void {
    const held = this.#held
    if (!held) return
    this.#held = undefined
    this.#begin(held.head)
    for (const part of held.parts) this.#answer.write(part, 0, part.length)
  }

  #end(ending: Ending): void {
    if (this.#over) return
    this.#over = true
    // Another try writes to the same response.
    this.#response.removeListener('close', this.#onClose)
    this.#turn[Symbol.dispose]()
    this.#onEnd(ending)
  }
}
