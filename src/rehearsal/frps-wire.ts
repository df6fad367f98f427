// What the rehearsal frpc and frps say to each other: JSON lines on a control connection; one more connection per visitor,
// which after its first line carries bytes. Not frp's own protocol: real and rehearsal programs do not mix.
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'

export type ClientMessage =
  | { type: 'login'; user: string; runId: string; key: string; at: number; metas: Record<string, string> }
  | { type: 'new-proxy'; name: string; remotePort: number }
  | { type: 'close-proxy'; name: string }
  | { type: 'ping' }
  | { type: 'work'; visitor: string }

export type ServerMessage =
  | { type: 'login-answer'; runId: string; error: string }
  | { type: 'proxy-answer'; name: string; remotePort: number; error: string }
  | { type: 'pong' }
  | { type: 'visitor'; visitor: string; name: string }

export const send = (socket: Socket, message: ClientMessage | ServerMessage): boolean =>
  socket.writable && socket.write(`${JSON.stringify(message)}\n`)

/** Calls `see` with each line. A function that `see` returns gets the socket for itself, with what follows given back to it. */
export function onLines(socket: Socket, see: (line: string) => (() => void) | void): void {
  let text = Buffer.alloc(0)
  const read = (chunk: Buffer) => {
    text = Buffer.concat([text, chunk])
    for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10)) {
      const line = text.subarray(0, end).toString('utf8')
      text = text.subarray(end + 1)
      const take = see(line)
      if (!take) continue
      socket.removeListener('data', read)
      socket.pause()
      if (text.length > 0) socket.unshift(text)
      return take()
    }
    if (text.length > 1_000_000) socket.destroy(new Error('line too long'))
  }
  socket.on('data', read)
}

/** As frp: the token itself is never sent. */
export const keyOf = (token: string, at: number): string => createHash('md5').update(`${token}${at}`).digest('hex')

/** Carries bytes both ways, half closes included, until either side is gone. */
export function join(one: Socket, other: Socket): void {
  one.pipe(other)
  other.pipe(one)
  for (const [mine, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    mine.on('error', () => peer.destroy())
    // After a proper end the pipe has ended the peer, which may still have bytes to write.
    mine.on('close', () => mine.readableEnded || peer.destroy())
  }
}

export type Level = 'I' | 'W' | 'E'

/** frp's line: `2026-07-23 12:00:00.123 [I] [client/service.go:320] [runID] message`, on stdout. */
export function logLine(level: Level, source: string, message: string): void {
  const now = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString()
  process.stdout.write(`${now.slice(0, 10)} ${now.slice(11, 23)} [${level}] [${source}] ${message}\n`)
}
