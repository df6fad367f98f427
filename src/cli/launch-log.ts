// The log of a launch over the socket: its last lines, and what comes.
import { setTimeout as wait } from 'node:timers/promises'
import { type LaunchResponse, type LogsResponse, isTerminal } from '../api/launches.ts'
import { Refusal } from '../core/errors.ts'
import { askThrough } from './ask-through.ts'
import { findLaunch } from './pick-launch.ts'
import { ask, listen } from './socket-client.ts'
import type { Output } from './verb.ts'

type LaunchLog = { socket: string; which: string; lines: number; follow: boolean; out: Output }

/** The last lines are looked for in so many bytes; longer logs are read from the front by `GET /logs`. */
const tail = 1_048_576

/** With `follow` until the launch has ended or the reader leaves. @throws Refusal where there is no such launch */
export async function printLaunchLog({ socket, which, lines, follow, out }: LaunchLog): Promise<void> {
  const { launch_id } = await findLaunch(socket, which)
  const id = encodeURIComponent(launch_id)
  const read = (offset: number) => ask<LogsResponse>(socket, `GET /launches/logs?id=${id}&offset=${offset}`)
  // An offset beyond the end is answered with the end.
  const { offset: size } = await read(999_999_999_999_999)
  let at = Math.max(0, size - tail)
  let text = ''
  for (;;) {
    const piece = await read(at)
    if (piece.content === '') break
    text += piece.content
    at = piece.next_offset
    if (at >= size) break
  }
  const all = text.split('\n')
  // What stands behind the last line end is not finished: it comes first when it is followed.
  let rest = all.pop() ?? ''
  const last = lines === 0 ? [] : all.filter((line) => line.trim() !== '').slice(-lines)
  for (const line of last) out.write(`${line}\n`)
  if (follow) {
    for await (const content of followLog(socket, id, at)) {
      const pieces = (rest + content).split('\n')
      rest = pieces.pop() ?? ''
      for (const line of pieces) if (line.trim() !== '') out.write(`${line}\n`)
    }
  }
  if (rest.trim() !== '') out.write(`${rest}\n`)
}

/** Until the launch has ended: over a restart of the daemon the launch writes on, and so do we. */
async function* followLog(socket: string, id: string, from: number): AsyncGenerator<string> {
  let at = from
  for (;;) {
    // Asked before its log: what an ended one wrote is then complete.
    const { state } = await askThrough<LaunchResponse>(socket, `GET /launches/one?id=${id}`)
    try {
      for await (const piece of listen<LogsResponse>(socket, `GET /launches/follow?id=${id}&offset=${at}`)) {
        at = piece.next_offset
        yield piece.content
      }
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== 'daemon-unreachable') throw error
    }
    if (isTerminal(state)) return
    await wait(250)
  }
}
