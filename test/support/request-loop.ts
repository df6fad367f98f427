#!/usr/bin/env node
// Asks :5000 all the time, each request on a connection of its own, every fourth as a stream. Prints a line for each that was
// answered well, {"ok":n}, and at the end of its stdin how they ended, times in ms since 1970:
// {"sent":n,"ok":n,"bad":[{"at","ended","kind","stream"}]}.
import { request } from 'node:http'
import { parseArgs } from 'node:util'

export type BadEnd = { at: number; ended: number; kind: string; stream: boolean }
export type LoopResult = { sent: number; ok: number; bad: BadEnd[]; slowest: number }

type Sent = { kind: string; bytes: number }

function ask(port: number, model: string, stream: boolean): Promise<Sent> {
  const body = JSON.stringify({
    model,
    stream,
    max_tokens: stream ? 20 : 2,
    messages: [{ role: 'user', content: 'hello' }],
  })
  return new Promise((resolve) => {
    const call = request({
      host: '127.0.0.1',
      port,
      path: '/v1/chat/completions',
      method: 'POST',
      agent: false,
      timeout: 20_000,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    })
    call.once('timeout', () => call.destroy(new Error('no answer within 20 s')))
    call.once('error', (error: NodeJS.ErrnoException) => resolve({ kind: error.code ?? error.message, bytes: 0 }))
    call.once('response', (response) => {
      let bytes = 0
      let tail = ''
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        tail = (tail + chunk.toString()).slice(-200)
      })
      response.once('error', (error: NodeJS.ErrnoException) => resolve({ kind: `cut: ${error.code}`, bytes }))
      response.once('end', () => {
        const whole = response.statusCode === 200 && (!stream || tail.includes('[DONE]'))
        resolve({ kind: whole ? 'ok' : `${response.statusCode} ${tail}`, bytes })
      })
    })
    call.end(body)
  })
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: 'string' }, model: { type: 'string' }, callers: { type: 'string' } },
  })
  const result: LoopResult = { sent: 0, ok: 0, bad: [], slowest: 0 }
  let going = true
  const caller = async () => {
    while (going) {
      const at = Date.now()
      const stream = result.sent % 4 === 3
      result.sent += 1
      const { kind } = await ask(Number(values.port ?? 5000), values.model ?? '', stream)
      const ended = Date.now()
      result.slowest = Math.max(result.slowest, ended - at)
      if (kind === 'ok') process.stdout.write(`{"ok":${(result.ok += 1)}}\n`)
      else result.bad.push({ at, ended, kind, stream })
      // Refusals come at once: without a pause they would be all that the loop does.
      await new Promise((resolve) => setTimeout(resolve, kind === 'ok' ? 5 : 50))
    }
  }
  process.stdin.resume().once('end', () => (going = false))
  await Promise.all(Array.from({ length: Number(values.callers ?? 4) }, caller))
  process.stdout.write(`${JSON.stringify(result)}\n`)
}
