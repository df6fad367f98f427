// One request to a remote port, to see whether it comes back to us. Bounded in time and size; says at which step it ended.
import { connect } from 'node:net'
import { onAbort, within } from '../core/abort.ts'
import { request } from '../core/node-http.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { type HostPort, renderHostPort } from '../core/host-port.ts'
import { noncePath } from './nonce.ts'

export type Probe =
  | { kind: 'proved' }
  /** Somebody else answered. */
  | { kind: 'foreign'; why: string }
  /** The connection was refused: nobody listens there, as seen from here. */
  | { kind: 'refused'; why: string }
  /** No connection within the time, no route, no such name. */
  | { kind: 'unreachable'; why: string }
  /** Connected, and then nothing. */
  | { kind: 'silent'; why: string }
  /** Connected, and closed without an answer. */
  | { kind: 'empty'; why: string }

const longestAnswer = 4096
const givenUp: Probe = { kind: 'silent', why: 'given up' }

/** Never rejects; within `timeout` ms. */
export function sendProbe(target: HostPort, nonce: string, timeout: number, abort: AbortSignal): Promise<Probe> {
  return new Promise((resolve) => {
    if (abort.aborted) return resolve(givenUp)
    let connected = false
    const late = setTimeout(() => {
      finish(
        connected
          ? { kind: 'silent', why: `accepts connections and does not answer within ${Math.round(timeout)} ms` }
          : { kind: 'unreachable', why: `accepts no connection within ${Math.round(timeout)} ms` },
      )
    }, timeout)
    const outgoing = request({
      host: target.host,
      port: target.port,
      path: noncePath,
      agent: false,
      headers: { host: renderHostPort(target), accept: 'application/json', connection: 'close' },
    })
    outgoing.on('socket', (socket) => socket.once('connect', () => (connected = true)))
    outgoing.on('error', (error) => finish(judgeError(error, connected)))
    outgoing.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
        if (body.length > longestAnswer) finish(judgeAnswer(response.statusCode ?? 0, body, nonce))
      })
      response.on('end', () => finish(judgeAnswer(response.statusCode ?? 0, body, nonce)))
      response.on('error', (error) => finish(judgeError(error, true)))
    })
    const forget = onAbort(abort, () => finish(givenUp))
    outgoing.end()

    function finish(probe: Probe): void {
      clearTimeout(late)
      forget()
      outgoing.destroy()
      resolve(probe)
    }
  })
}

/** Undefined where `target` accepts a connection within `timeout` ms, else how it does not. Never rejects. */
export function whyNotConnected(target: HostPort, timeout: number, abort: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(target.port, target.host)
    const finish = (why?: string) => {
      forget()
      socket.destroy()
      resolve(why)
    }
    const forget = onAbort(within(timeout, abort), () =>
      finish(`accepts no connection within ${Math.round(timeout)} ms`),
    )
    socket.once('connect', () => finish())
    socket.once('error', (error) => finish(judgeError(error, false).why))
  })
}

function judgeAnswer(status: number, body: string, nonce: string): Probe {
  const answered = parseNonce(body)
  if (answered === nonce) return { kind: 'proved' }
  if (answered !== undefined) return { kind: 'foreign', why: `answers with the nonce of another node` }
  return { kind: 'foreign', why: `answers ${status} ${JSON.stringify(body.slice(0, 80))} instead of our nonce` }
}

function parseNonce(body: string): string | undefined {
  try {
    const found = JSON.parse(body) as { nonce?: unknown } | null
    return typeof found?.nonce === 'string' ? found.nonce : undefined
  } catch {
    return undefined
  }
}

function judgeError(error: Error, connected: boolean): Exclude<Probe, { kind: 'proved' }> {
  if (connected) return { kind: 'empty', why: `closes the connection without an answer (${messageOf(error)})` }
  if (codeOf(error) === 'ECONNREFUSED') return { kind: 'refused', why: 'refuses connections' }
  return { kind: 'unreachable', why: `cannot be reached: ${messageOf(error)}` }
}
