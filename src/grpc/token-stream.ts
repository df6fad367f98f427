// TokenStream: pieces of all prompts as the engine makes them. A reader that does not keep up pauses the engine's connections;
// TCP tells the engine, and nothing piles up here.
import { StringDecoder } from 'node:string_decoder'
import { onAbort } from '../core/abort.ts'
import type { Outlet } from './batch.ts'
import type { Desk, Line } from './desk.ts'
import { EngineRefused, at, parseJson, parseUsage, toRefused } from './engine-answer.ts'
import type { ChunkSink } from './engine-exchange.ts'
import type { TokenChunk } from '../api/inference.ts'

export type TokenPlan = {
  count: number
  /** Resolves when the engine has sent all of it. @throws anything; the first failure ends the call */
  ask: (at: number, sink: ChunkSink, abort: AbortSignal) => Promise<void>
  encode: (chunk: TokenChunk) => Buffer
  outlet: Outlet
  desk: Desk
}

/** Resolves when all prompts are done. @throws the first failure, after which nothing runs any more; the abort's reason */
export function runTokens(plan: TokenPlan, abort: AbortController): Promise<void> {
  const { count, ask, outlet, desk, encode } = plan
  const paused = new Set<() => void>()
  outlet.onReady = () => {
    const all = [...paused]
    paused.clear()
    for (const resume of all) resume()
  }
  return new Promise((resolve, reject) => {
    const state = { begun: 0, done: 0 }
    const line: Line = {
      wants: () => state.begun < count && !abort.signal.aborted,
      async begin() {
        const index = state.begun
        state.begun += 1
        const pieces = createPieces((piece) => outlet.write(encode({ index, ...piece })))
        try {
          await ask(
            index,
            (bytes, flow) => {
              pieces.take(bytes)
              if (!outlet.isBehind) return
              flow.pause()
              paused.add(() => flow.resume())
            },
            abort.signal,
          )
          pieces.end()
          state.done += 1
          if (state.done === count) resolve()
        } catch (error) {
          abort.abort(error)
        }
      },
    }
    onAbort(abort.signal, () => {
      desk.leave(line)
      reject(abort.signal.reason as Error)
    })
    desk.offer(line)
  })
}

type Piece = Omit<TokenChunk, 'index'>

/** Of one event; a token is a few bytes. */
const longestEvent = 2 ** 20

/** Server-sent events of /v1/completions to pieces; the last one waits for the usage that comes after it. */
export function createPieces(send: (piece: Piece) => void): { take(bytes: Buffer): void; end(): void } {
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
