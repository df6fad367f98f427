// One control connection of frpc: logs in, registers proxies, fetches visitors, notices a server that went away or froze.
import { connect, type Socket } from 'node:net'
import type { FrpcConfig, FrpcProxy } from '../frp-config/frpc-config.ts'
import { join, keyOf, logLine, onLines, send, type ServerMessage } from './frps-wire.ts'

export type ProxyStatus = {
  proxy: FrpcProxy
  status: 'new' | 'wait start' | 'start error' | 'running'
  err: string
  remotePort: number
}

/** yamux: a ping every 30 s with 10 s to answer; 10 s for a login (facts/frp.md 1.4, 1.9). */
const pingEvery = 30_000
const answerPatience = 10_000
const startErrorRetry = 30_000

export type SessionOptions = { config: FrpcConfig; token: string; scale: number; runId: string }

export class FrpcSession {
  readonly statuses = new Map<string, ProxyStatus>()
  runId: string
  readonly #options: SessionOptions
  readonly #socket: Socket
  readonly #timers = new Set<NodeJS.Timeout>()
  #patience: NodeJS.Timeout | undefined
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>

  private constructor(options: SessionOptions, socket: Socket) {
    this.#options = options
    this.runId = options.runId
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        for (const timer of this.#timers) clearInterval(timer)
        clearTimeout(this.#patience)
        this.statuses.clear()
        resolve()
      })
    })
  }

  /** @throws Error with frpc's own cause: `dial tcp …`, the server's refusal, `connection write timeout` */
  static async open(options: SessionOptions): Promise<FrpcSession> {
    const socket = await dial(options.config.serverAddr, options.config.serverPort, answerPatience * options.scale)
    const session = new FrpcSession(options, socket)
    await session.#login()
    return session
  }

  /** Registers what is new or changed, closes what is gone; leaves the rest alone. */
  apply(proxies: readonly FrpcProxy[]): void {
    for (const [name, { proxy }] of this.statuses) {
      const kept = proxies.find((one) => one.name === name)
      if (kept && JSON.stringify(kept) === JSON.stringify(proxy)) continue
      this.statuses.delete(name)
      send(this.#socket, { type: 'close-proxy', name: this.#wireName(name) })
    }
    for (const proxy of proxies) {
      if (this.statuses.has(proxy.name) || proxy.enabled === false) continue
      this.statuses.set(proxy.name, { proxy, status: 'new', err: '', remotePort: proxy.remotePort })
      this.#register(proxy)
    }
  }

  #login(): Promise<void> {
    const { config, token, scale } = this.#options
    const at = Math.floor(Date.now() / 1000)
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#socket.destroy()
        reject(new Error('connection write timeout'))
      }, answerPatience * scale)
      this.#socket.once('close', () => {
        clearTimeout(late)
        reject(new Error('EOF'))
      })
      onLines(this.#socket, (line) => {
        const message = JSON.parse(line) as ServerMessage
        if (message.type !== 'login-answer') return this.#obey(message)
        clearTimeout(late)
        if (message.error) return reject(new Error(message.error))
        this.runId = message.runId
        this.#startPing()
        return resolve()
      })
      const metas = config.metadatas ?? {}
      send(this.#socket, {
        type: 'login',
        user: config.user ?? '',
        runId: this.runId,
        key: keyOf(token, at),
        at,
        metas,
      })
    })
  }

  #obey(message: ServerMessage): void {
    if (message.type === 'pong') clearTimeout(this.#patience)
    else if (message.type === 'proxy-answer') this.#note(message)
    else if (message.type === 'visitor') void this.#fetch(message)
  }

  #register(proxy: FrpcProxy): void {
    const state = this.statuses.get(proxy.name)
    if (!state || state.proxy !== proxy) return
    if (state.status === 'new') state.status = 'wait start'
    send(this.#socket, { type: 'new-proxy', name: this.#wireName(proxy.name), remotePort: proxy.remotePort })
  }

  #note({ name, error, remotePort }: ServerMessage & { type: 'proxy-answer' }): void {
    const state = [...this.statuses.values()].find((one) => this.#wireName(one.proxy.name) === name)
    if (!state) return
    state.err = error
    state.remotePort = remotePort
    state.status = error ? 'start error' : 'running'
    const local = `[${this.runId}] [${state.proxy.name}]`
    if (!error) return logLine('I', 'client/control.go:172', `${local} start proxy success`)
    logLine('W', 'client/control.go:168', `${local} start error: ${error}`)
    this.#later(() => this.#register(state.proxy), startErrorRetry * this.#options.scale)
  }

  async #fetch({ visitor, name }: { visitor: string; name: string }): Promise<void> {
    const { config } = this.#options
    const state = [...this.statuses.values()].find((one) => this.#wireName(one.proxy.name) === name)
    if (!state) return
    const { localIP = '127.0.0.1', localPort } = state.proxy
    const work = await dial(config.serverAddr, config.serverPort, answerPatience).catch(() => undefined)
    if (!work) return
    work.on('error', () => work.destroy())
    send(work, { type: 'work', visitor })
    try {
      join(work, await dial(localIP, localPort, answerPatience))
    } catch (error) {
      const why = `connect to local service [${localIP}:${localPort}] error: ${(error as Error).message}`
      logLine('E', 'proxy/proxy.go:204', `[${this.runId}] [${state.proxy.name}] ${why}`)
      work.destroy()
    }
  }

  #startPing(): void {
    const { scale } = this.#options
    const beat = setInterval(() => {
      send(this.#socket, { type: 'ping' })
      clearTimeout(this.#patience)
      this.#patience = setTimeout(() => this.#socket.destroy(), answerPatience * scale)
    }, pingEvery * scale)
    this.#timers.add(beat)
  }

  #later(act: () => void, ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, ms)
    this.#timers.add(timer)
  }

  #wireName(name: string): string {
    const { user } = this.#options.config
    return user ? `${user}.${name}` : name
  }
}

/** Go's words for what went wrong. */
function dial(host: string, port: number, patience: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    const socket = connect({ host, port, allowHalfOpen: true })
    const late = setTimeout(() => {
      socket.destroy()
      reject(new Error(`dial tcp ${where}: i/o timeout`))
    }, patience)
    socket.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(late)
      if (error.code === 'ENOTFOUND' || error.code === 'EAI_AGAIN')
        return reject(new Error(`lookup ${host}: no such host`))
      const why = error.code === 'ECONNREFUSED' ? 'connection refused' : error.message
      return reject(new Error(`dial tcp ${where}: connect: ${why}`))
    })
    socket.once('connect', () => {
      clearTimeout(late)
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
  })
}
