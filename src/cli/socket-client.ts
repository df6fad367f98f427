// Talks to the daemon over its unix socket.
import { request, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { Refusal, codeOf, messageOf } from '../core/errors.ts'

/** Long enough for `leave` at an API node that hangs, short enough for a person. */
const patience = 30_000

/** @throws Refusal `daemon-unreachable`, or the daemon's own */
export async function ask<T>(socket: string, route: `${'GET' | 'POST'} /${string}`, body?: unknown): Promise<T> {
  const response = await open(socket, route, body, patience)
  const value = await readJson(response)
  if (response.statusCode !== 200) throw refusalOf(response.statusCode ?? 500, value)
  return value as T
}

/** One value per line until the daemon ends it. @throws as ask() */
export async function* listen<T>(
  socket: string,
  route: `${'GET' | 'POST'} /${string}`,
  body?: unknown,
): AsyncGenerator<T> {
  const response = await open(socket, route, body)
  if (response.statusCode !== 200) throw refusalOf(response.statusCode ?? 500, await readJson(response))
  for await (const line of createInterface({ input: response })) yield JSON.parse(line) as T
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

function open(socketPath: string, route: string, body?: unknown, timeout?: number): Promise<IncomingMessage> {
  const [method, path] = route.split(' ') as [string, string]
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, headers: { 'content-type': 'application/json' } }, resolve)
    call.on('error', (error) => reject(unreachable(socketPath, error)))
    if (timeout) call.setTimeout(timeout, () => call.destroy(new Error(`no answer within ${timeout / 1000} s`)))
    call.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function unreachable(socketPath: string, error: Error): Refusal {
  const code = codeOf(error)
  const remedy =
    code === 'EACCES'
      ? 'run it as root, or as a member of the group gonka'
      : 'is it running? `systemctl status gonka-node`, `journalctl -u gonka-node`'
  return new Refusal('daemon-unreachable', 503, `the daemon does not answer on ${socketPath}: ${messageOf(error)}`, {
    remedy,
    cause: error,
  })
}

function refusalOf(status: number, value: unknown): Refusal {
  const {
    code = 'unknown',
    message = `the daemon answered ${status}`,
    remedy,
  } = (value ?? {}) as Record<string, string>
  return new Refusal(code, status, message, remedy ? { remedy } : {})
}
