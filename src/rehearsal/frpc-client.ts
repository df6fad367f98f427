// frpc over its whole life: logs in, and again whenever the session is lost, with the waits of facts/frp.md 1.4.
import { FrpcSession, type ProxyStatus } from './frpc-session.ts'
import type { FrpcConfig, FrpcProxy } from '../frp-config/frpc-config.ts'
import { logLine } from './frps-wire.ts'

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

export class FrpcClient {
  readonly #config: FrpcConfig
  readonly #token: string
  readonly #scale: number
  #proxies: readonly FrpcProxy[]
  #session: FrpcSession | undefined
  #runId = ''

  constructor(config: FrpcConfig, token: string, scale: number) {
    this.#config = config
    this.#token = token
    this.#scale = scale
    this.#proxies = config.proxies ?? []
  }

  /** By name, as frpc's status lists them; empty between sessions. */
  statuses(): ProxyStatus[] {
    const all = [...(this.#session?.statuses.values() ?? [])]
    return all.sort((a, b) => (a.proxy.name < b.proxy.name ? -1 : 1))
  }

  reload(proxies: readonly FrpcProxy[]): void {
    this.#proxies = proxies
    this.#session?.apply(proxies)
  }

  /** Never resolves, except with the text to die with: the first login failed and loginFailExit is on. */
  async run(): Promise<string> {
    let failures = 0
    let lostAt: number[] = []
    for (let everIn = false; ;) {
      const why = await this.#try()
      if (why === undefined) {
        everIn = true
        failures = 0
        lostAt = [...lostAt.filter((at) => performance.now() - at < 60_000 * this.#scale), performance.now()]
        await wait((lostAt.length <= 3 ? 200 : 1000) * this.#scale)
        continue
      }
      logLine('W', 'client/service.go:323', `[${this.#runId}] connect to server error: ${why}`)
      if (!everIn && (this.#config.loginFailExit ?? true))
        return `login to the server failed: ${why}. With loginFailExit enabled, no additional retries will be attempted`
      failures += 1
      await wait(planRetry(failures, everIn, Math.random()) * this.#scale)
    }
  }

  /** Undefined after a session that was and is over; a text when there was none. */
  async #try(): Promise<string | undefined> {
    logLine('I', 'client/service.go:314', 'try to connect to server...')
    const options = { config: this.#config, token: this.#token, scale: this.#scale, runId: this.#runId }
    try {
      const session = await FrpcSession.open(options)
      this.#runId = session.runId
      logLine('I', 'client/service.go:306', `[${session.runId}] login to server success, get run id [${session.runId}]`)
      session.apply(this.#proxies)
      this.#session = session
      await session.closed
      return undefined
    } catch (error) {
      return (error as Error).message
    } finally {
      this.#session = undefined
    }
  }
}

/** ms before the next try after `failures` in a row: 1 s, doubled, at most 20 s (10 s before the first login), 10 % jitter. */
export function planRetry(failures: number, everIn: boolean, random: number): number {
  return Math.min(everIn ? 20_000 : 10_000, 1000 * 2 ** failures) * (0.9 + 0.2 * random)
}
