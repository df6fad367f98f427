// Continuous batching in miniature: one step of the core gives every running request one token.
import type { CoreLink } from './engine-core-link.ts'
import type { Counters } from './engine-metrics.ts'

const vocabulary = ['Hello', ' there', ' my', ' good', ' friend', ',', ' how', ' are', ' you', ' today', '?'] as const

export type Generated = { text: string; tokens: number; reason: 'stop' | 'length' }

export interface Decoder {
  /** One text per token, `total` of them. @throws when the core dies */
  decode(prompt: { tokens: number; total: number }, signal: AbortSignal): AsyncGenerator<string>
}

type Running = { wake: (error?: Error) => void }

export function createDecoder(core: CoreLink, counters: Counters, tokenMs: number): Decoder {
  const running = new Set<Running>()
  const loop = { on: false }

  async function run(): Promise<void> {
    if (loop.on) return
    loop.on = true
    while (running.size > 0) {
      const failed = await core.step(tokenMs).then(
        () => undefined,
        (error: unknown) => error as Error,
      )
      if (!failed) {
        counters.iterations += 1
        counters.iterationTokens += running.size
        counters.generationTokens += running.size
      }
      for (const one of running) one.wake(failed)
      // The woken requests take their turn before the next step.
      await new Promise((resolve) => setImmediate(resolve))
    }
    loop.on = false
  }

  return {
    async *decode({ tokens, total }, signal) {
      const one: Running = { wake: () => {} }
      counters.running += 1
      counters.promptTokens += tokens
      running.add(one)
      try {
        for (let at = 0; at < total; at += 1) {
          const woken = new Promise<void>((resolve, reject) => {
            one.wake = (error) => (error ? reject(error) : resolve())
            signal.onabort = () => reject(new DOMException('the client left', 'AbortError'))
          })
          if (signal.aborted) return
          void run()
          await woken
          yield vocabulary[at % vocabulary.length] ?? ''
        }
      } finally {
        running.delete(one)
        counters.running -= 1
      }
    },
  }
}
