// The server side: who is logged in, which remote ports they hold, and the visitors on their way to a client.
// Refuses with the texts of facts/frp.md 1.4.
import { randomUUID } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { type FrpsConfig, isAllowed } from './frps-config.ts'
import { type ClientMessage, join, keyOf, logLine, onLines, send } from './frps-wire.ts'

type Proxy = { name: string; remotePort: number; listener: Server }
type Session = { runId: string; user: string; socket: Socket; proxies: Map<string, Proxy> }

export type FrpsKnobs = {
  /** The first so many logins are refused as if their token were wrong. */
  refuseLogins: number
  /** Every session is dropped once, so many ms after the first login. */
  dropAfterMs: number | undefined
}

/** A visitor that no client fetches is hung up on after this long, as frp's userConnTimeout. */
const visitorPatience = 10_000

export class FrpsServer {
  readonly #config: FrpsConfig
  readonly #token: string
  readonly #knobs: FrpsKnobs
  readonly #sessions = new Map<string, Session>()
  readonly #visitors = new Map<string, Socket>()
  readonly #sockets = new Set<Socket>()
  #frozen = false
  #logins = 0

  constructor(config: FrpsConfig, token: string, knobs: FrpsKnobs) {
    this.#config = config
    this.#token = token
    this.#knobs = knobs
  }

  listen(): Server {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#greet(socket))
    return server.listen(this.#config.bindPort, this.#config.bindAddr, () =>
      logLine('I', 'server/service.go:237', `frps tcp listen on ${this.#config.bindAddr}:${this.#config.bindPort}`),
    )
  }

  proxies(): { name: string; remotePort: number; status: 'online' }[] {
    return [...this.#sessions.values()].flatMap((one) =>
      [...one.proxies.values()].map(({ name, remotePort }) => ({ name, remotePort, status: 'online' as const })),
    )
  }

  clients(): number {
    return this.#sessions.size
  }

  /** Reads nothing and answers nothing until thawed; the kernel goes on accepting, as with a stopped process. */
  freeze(frozen: boolean): void {
    this.#frozen = frozen
    for (const socket of this.#sockets) {
      if (frozen) socket.pause()
      // One without a reader would lose what it holds.
      else if (socket.listenerCount('data') > 0) socket.resume()
    }
  }

  drop(): void {
    for (const session of this.#sessions.values()) session.socket.destroy()
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    if (this.#frozen) socket.pause()
  }

  #greet(socket: Socket): void {
    this.#keep(socket)
    let session: Session | undefined
    onLines(socket, (line) => {
      const message = JSON.parse(line) as ClientMessage
      if (message.type === 'work') return () => this.#fetch(message.visitor, socket)
      if (message.type === 'login') session = this.#login(message, socket)
      else if (session) this.#obey(session, message)
      return undefined
    })
    socket.on('end', () => session && socket.end())
    socket.on('close', () => session && this.#close(session))
  }

  #login(message: ClientMessage & { type: 'login' }, socket: Socket): Session | undefined {
    this.#logins += 1
    const wrong = message.key !== keyOf(this.#token, message.at) || this.#logins <= this.#knobs.refuseLogins
    if (wrong) {
      logLine(
        'W',
        'server/service.go:618',
        `register control error: token in login doesn't match token from configuration`,
      )
      const error = this.#config.detailedErrorsToClient
        ? "token in login doesn't match token from configuration"
        : 'register control error'
      send(socket, { type: 'login-answer', runId: '', error })
      socket.end()
      return undefined
    }
    const runId = message.runId || randomUUID().slice(0, 16)
    const old = this.#sessions.get(runId)
    if (old) this.#close(old)
    const session = { runId, user: message.user, socket, proxies: new Map<string, Proxy>() }
    this.#sessions.set(runId, session)
    logLine(
      'I',
      'server/service.go:571',
      `[${runId}] client login info: ip [${socket.remoteAddress}] user [${message.user}]`,
    )
    send(socket, { type: 'login-answer', runId, error: '' })
    const { dropAfterMs } = this.#knobs
    if (dropAfterMs !== undefined && this.#logins === 1) setTimeout(() => this.drop(), dropAfterMs)
    return session
  }

  #obey(session: Session, message: ClientMessage): void {
    if (message.type === 'ping') send(session.socket, { type: 'pong' })
    else if (message.type === 'close-proxy') this.#remove(session, message.name)
    else if (message.type === 'new-proxy') this.#add(session, message)
  }

  #add(session: Session, { name, remotePort }: { name: string; remotePort: number }): void {
    const answer = (error: string, port = remotePort) => {
      if (error)
        logLine('W', 'server/control.go:397', `[${session.runId}] new proxy [${name}] type [tcp] error: ${error}`)
      send(session.socket, { type: 'proxy-answer', name, remotePort: port, error })
    }
    const refused = this.#judge(session, name, remotePort)
    if (refused) {
      answer(refused)
      return
    }
    const listener = createServer({ allowHalfOpen: true }, (visitor) => this.#visit(session, name, visitor))
    const proxy = { name, remotePort, listener }
    session.proxies.set(name, proxy)
    listener.on('error', () => {
      session.proxies.delete(name)
      answer('port unavailable')
    })
    listener.listen(remotePort, this.#config.proxyBindAddr ?? this.#config.bindAddr, () => {
      proxy.remotePort = (listener.address() as { port: number }).port
      answer('', proxy.remotePort)
    })
  }

  #judge(session: Session, name: string, remotePort: number): string | undefined {
    const held = [...this.#sessions.values()].flatMap((one) => [...one.proxies.values()])
    if (held.some((one) => one.name === name)) return `proxy [${name}] already exists`
    const { maxPortsPerClient } = this.#config
    if (maxPortsPerClient > 0 && session.proxies.size >= maxPortsPerClient) return 'exceed the max_ports_per_client'
    if (remotePort === 0) return undefined
    if (!isAllowed(this.#config, remotePort)) return 'port not allowed'
    if (held.some((one) => one.remotePort === remotePort)) return 'port already used'
    return undefined
  }

  #visit(session: Session, name: string, visitor: Socket): void {
    this.#keep(visitor)
    visitor.pause()
    const id = randomUUID()
    this.#visitors.set(id, visitor)
    const timer = setTimeout(() => this.#visitors.get(id)?.destroy(), visitorPatience)
    visitor.on('close', () => {
      clearTimeout(timer)
      this.#visitors.delete(id)
    })
    if (!this.#frozen) send(session.socket, { type: 'visitor', visitor: id, name })
  }

  #fetch(id: string, work: Socket): void {
    const visitor = this.#visitors.get(id)
    this.#visitors.delete(id)
    if (!visitor) return void work.destroy()
    join(visitor, work)
  }

  #remove(session: Session, name: string): void {
    session.proxies.get(name)?.listener.close()
    session.proxies.delete(name)
  }

  #close(session: Session): void {
    if (this.#sessions.get(session.runId) === session) this.#sessions.delete(session.runId)
    for (const name of session.proxies.keys()) this.#remove(session, name)
    session.socket.destroy()
    logLine('I', 'server/control.go:339', `[${session.runId}] client exit success`)
  }
}
