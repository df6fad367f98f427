// The connections to one engine: as many as there are requests in flight, the one used last is used again first.
import { type ConnectionOwner, EngineConnection, type EngineAsk, type Flight } from './engine-connection.ts'

/** ms. */
export const engineLimits = {
  /** vLLM closes idle connections after 5 s: ours go first, or a request meets a closing one (facts/vllm.md 2.2). */
  idle: 3500,
  connecting: 3000,
  /** Neither says nor takes anything. An answer that is not streamed may take long: hangs are found by progress (D4), not here. */
  silent: 3_600_000,
  /** One look at all of them, instead of a timer for each that every byte would move. */
  lookEvery: 500,
}

export type EngineLimits = typeof engineLimits

export class ConnectionPool implements ConnectionOwner {
  readonly #port: number
  readonly #limits: EngineLimits
  readonly #all = new Set<EngineConnection>()
  readonly #idle: EngineConnection[] = []
  readonly #looking: EngineConnection[] = []
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(port: number, limits: EngineLimits = engineLimits) {
    this.#port = port
    this.#limits = limits
  }

  /** The flight hears of everything that follows, also of what goes wrong; never before this returns. */
  dispatch(ask: EngineAsk, flight: Flight): void {
    const connection = this.#idle.pop() ?? this.#open()
    connection.start(ask, flight)
  }

  /** Idle connections end now, the others with the request that runs on them. */
  close(): void {
    this.#isOver = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  destroy(error: Error): void {
    this.#isOver = true
    for (const connection of this.#all) connection.destroy(error)
  }

  free(connection: EngineConnection): void {
    if (this.#isOver) connection.destroy()
    else this.#idle.push(connection)
  }

  closed(connection: EngineConnection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    if (this.#all.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Immediates run after what has come was read; one for all requests of a turn of the event loop. */
  look(connection: EngineConnection): void {
    if (this.#looking.push(connection) > 1) return
    setImmediate(() => {
      for (const one of this.#looking.splice(0)) one.looked()
    })
  }

  again(ask: EngineAsk, flight: Flight): void {
    if (this.#isOver) flight.fail(new Error('the engine is gone'))
    else this.#open().start(ask, flight)
  }

  #open(): EngineConnection {
    const connection = new EngineConnection(this.#port, this)
    this.#all.add(connection)
    this.#timer ??= setInterval(() => this.#look(), this.#limits.lookEvery).unref()
    return connection
  }

  #look(): void {
    const now = performance.now()
    const { idle, connecting, silent } = this.#limits
    for (const connection of this.#all) {
      const { state } = connection
      const limit = state === 'idle' ? idle : state === 'connecting' ? connecting : silent
      if (now - connection.lookMovedAt(now) < limit) continue
      if (state === 'idle') connection.destroy()
      else connection.destroy(toTimeout(state === 'connecting' ? 'connected' : 'answered', limit))
    }
  }
}

function toTimeout(what: string, limit: number): Error {
  return Object.assign(new Error(`the engine has not ${what} within ${limit} ms`), { code: 'ETIMEDOUT' })
}
