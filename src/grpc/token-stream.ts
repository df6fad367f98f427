// TokenStream: pieces of all prompts as the engine makes them. While the reader does not keep up no prompt is begun and nothing is read
// from the engine, which goes on computing and keeps the pieces: nothing piles up here.
import { StringDecoder } from 'node:string_decoder'
import { onAbort } from '../core/abort.ts'
import type { Outlet } from './batch.ts'
import type { Desk, Line } from './desk.ts'
import { EngineRefused, at, parseJson, parseUsage, toRefused } from './engine-answer.ts'
import type { AnswerSink, Flow } from './engine-exchange.ts'
import type { Share } from './look-ahead.ts'
import type { TokenChunk } from '../api/inference.ts'

export type TokenPlan = {
  count: number
  /** Resolves when the engine has sent all of it. @throws anything; the first failure ends the call */
  ask: (at: number, sink: AnswerSink, abort: AbortSignal) => Promise<void>
  encode: (chunk: TokenChunk) => Buffer
  outlet: Outlet
  desk: Desk
  share: Share
}

/** A connection, paused or not, and the piece of an event that it waits for. */
const promptCost = 16_384

/** Resolves when all prompts are done. @throws the first failure, after which nothing runs any more; the abort's reason */
export function runTokens(plan: TokenPlan, abort: AbortController): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = new TokenRun(plan, abort, resolve)
    plan.outlet.onReady = () => stream.resume()
    onAbort(abort.signal, () => {
      plan.desk.leave(stream)
      reject(abort.signal.reason as Error)
    })
    stream.proceed()
  })
}

/** A prompt that runs. `leave`: its place at the desk is free for others. */
type Running = { flow: Flow | undefined; leave: () => void }

class TokenRun implements Line {
  readonly #plan: TokenPlan
  readonly #abort: AbortController
  readonly #resolve: () => void
  readonly #running = new Set<Running>()
  #begun = 0
  #done = 0

  constructor(plan: TokenPlan, abort: AbortController, resolve: () => void) {
    this.#plan = plan
    this.#abort = abort
    this.#resolve = resolve
  }

  readonly proceed = (): void => {
    if (this.wants()) this.#plan.desk.offer(this)
  }

  wants(): boolean {
    const { count, outlet, share } = this.#plan
    if (this.#begun === count || this.#abort.signal.aborted || outlet.isBehind) return false
    return share.hasRoom(this.proceed)
  }

  begin(): Promise<void> {
    const index = this.#begun
    this.#begun += 1
    return new Promise((leave) => void this.#run(index, { flow: undefined, leave }))
  }

  resume(): void {
    for (const { flow } of this.#running) flow?.resume()
    this.proceed()
  }

  async #run(index: number, running: Running): Promise<void> {
    const { ask, share, outlet, encode, count } = this.#plan
    const pieces = createPieces((piece) => outlet.write(encode({ index, ...piece })))
    share.add(promptCost)
    this.#running.add(running)
    try {
      await ask(index, this.#createSink(running, pieces), this.#abort.signal)
      pieces.end()
      this.#done += 1
    } catch (error) {
      this.#abort.abort(error)
    } finally {
      this.#running.delete(running)
      share.free(promptCost)
      running.leave()
    }
    if (this.#done === count) this.#resolve()
    else this.proceed()
  }

  #createSink(running: Running, pieces: Pieces): AnswerSink {
    return {
      open: (flow) => {
        running.flow = flow
        if (this.#plan.outlet.isBehind) flow.pause()
      },
      take: (bytes) => {
        pieces.take(bytes)
        if (this.#plan.outlet.isBehind) this.#pause()
      },
    }
  }

  /** All of them at once: with a chunk of each more, a thousand prompts would be 64 MB. */
  #pause(): void {
    for (const { flow, leave } of this.#running) {
      flow?.pause()
      // Their engine goes on without us: a reader that never comes back keeps no other call from it.
      leave()
    }
  }
}

type Piece = Omit<TokenChunk, 'index'>
type Pieces = { take(bytes: Buffer): void; end(): void }

/** Of one event; a token is a few bytes. */
const longestEvent = 2 ** 20

/** Server-sent events of /v1/completions to pieces; the last one waits for the usage that comes after it. */
export function createPieces(send: (piece: Piece) => void): Pieces {
  const decoder = new StringDecoder('utf8')
  const state: { rest: string; last: Piece | undefined; whole: boolean } = { rest: '', last: undefined, whole: false }

  function takeEvent(event: string): void {
    const text = event.replace(/^data:\s*/, '').trim()
    if (text === '') return
    if (text === '[DONE]') return void (state.whole = true)
    const found = parseJson(text)
    if (found === undefined || at(found, 'error') !== undefined) throw toRefused(500, found, text)
    const choice = at(at(found, 'choices'), 0)
    const told = at(choice, 'text')
    const piece = typeof told === 'string' ? told : ''
    const reason = at(choice, 'finish_reason')
    if (typeof reason === 'string') state.last = { text: piece, finish_reason: reason }
    else if (piece !== '') send({ text: piece })
    if (at(found, 'usage')) state.last = { ...(state.last ?? { text: '' }), ...parseUsage(at(found, 'usage')) }
  }

  return {
    take(bytes) {
      const events = (state.rest + decoder.write(bytes)).split(/\r?\n\r?\n/)
      state.rest = events.pop() ?? ''
      if (state.rest.length > longestEvent) throw new EngineRefused('the engine sends an event without end', false)
      for (const event of events) takeEvent(event)
    },
    end() {
      if (!state.whole) throw new EngineRefused('the engine ended its stream early', false)
      if (state.last) send(state.last)
    },
  }
}
