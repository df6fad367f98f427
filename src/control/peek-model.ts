// Reads as much of a request's body as it takes to know the model that it names; nothing of it is lost. What is read is held until it
// is handed on: little of each body, more only where there is room.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { cutIdleBody, hasBody } from '../http/idle-body.ts'
import { proxyLimits, sendIdle } from '../proxy/proxy.ts'
import { type RequestBody, smallBody } from '../proxy/request-body.ts'
import { createFormScan, parseBoundary } from './form-scan.ts'
import { createModelScan, type ScanResult } from './model-scan.ts'

export type Peeked = {
  model: string | undefined
  /** The whole body: what was read and, behind it, what is still to come. */
  body: RequestBody
}

/** For so many bytes; disposed of when they are handed on, or the request is over. undefined: there is none. */
export type TakeRoom = (bytes: number) => Promise<Disposable | undefined>

/** Bytes. A body that has named no model by then goes unread to the engine that takes such. */
const most = 1 << 20
/** Bytes of a long body that need no room: the first piece of it, where the name mostly is. */
const free = 16_384
/** A piece takes 200 bytes besides its own: a body that comes byte by byte is put together now and then. */
const mostPieces = 1024

export type PeekOf = Call & {
  takeRoom: TakeRoom
  /** ms; a client that stops sending in mid-body is 408, or cut off where its answer has begun. */
  idleMs?: number
}

/** @returns undefined: there was no room for it. @throws what the connection says when the client leaves in mid-body */
export async function peekModel({
  request,
  response,
  takeRoom,
  idleMs = proxyLimits.idleBody,
}: PeekOf): Promise<Peeked | undefined> {
  if (!hasBody(request)) return { model: undefined, body: undefined }
  cutIdleBody(request, idleMs, () => sendIdle(request, response))
  const boundary = parseBoundary(request.headers['content-type'])
  const scan = boundary === undefined ? createModelScan() : createFormScan(boundary)
  const rest = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  const read: Buffer[] = []
  let found: ScanResult | undefined
  let size = 0
  let room: Disposable | undefined
  const whole = Math.min(most, Number(request.headers['content-length'] ?? most))
  while (size < most && !found) {
    if (!room && whole > smallBody && size >= free) {
      room = await takeRoom(whole)
      if (!room) return void (await rest.return?.())
    }
    const next = await rest.next()
    if (next.done) break
    size += next.value.length
    if (read.push(next.value) === mostPieces) read.splice(0, mostPieces, Buffer.concat(read))
    found = scan.feed(next.value)
  }
  const model = found?.kind === 'model' ? found.model : undefined
  // Whole and small: it goes in one write, and can be sent again.
  const isWhole = request.complete && request.readableLength === 0
  return {
    model,
    body: isWhole && size <= smallBody ? Buffer.concat(read) : joined({ request, response }, { read, rest, room }),
  }
}

/** Its iterator listens on, so that the request would not flow. */
async function readRest(request: IncomingMessage, rest: AsyncIterator<Buffer>): Promise<void> {
  await rest.return?.()
  request.resume()
}

type Pieces = { read: Buffer[]; rest: AsyncIterator<Buffer>; room: Disposable | undefined }

type Call = { request: IncomingMessage; response: ServerResponse }

function joined({ request, response }: Call, { read, rest, room }: Pieces): RequestBody {
  const state = { isTaken: false }
  // Answered before an engine took it: a client that sends all of it before it reads would wait for ever.
  response.once('finish', () => void (!state.isTaken && readRest(request, rest)))
  return {
    async *[Symbol.asyncIterator]() {
      state.isTaken = true
      try {
        // Forgotten piece by piece: the answer may take an hour.
        for (let piece = read.shift(); piece; piece = read.shift()) yield piece
        room?.[Symbol.dispose]()
        for (;;) {
          const next = await rest.next()
          if (next.done) return
          yield next.value
        }
      } finally {
        // Whoever was answered early sends the rest all the same.
        await readRest(request, rest)
      }
    },
  }
}
