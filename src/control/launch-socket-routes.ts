// Launches for the command line: what REST offers, over the socket and without a key. Errors are refusals.
import { z } from 'zod'
import { changesOf } from '../core/changes.ts'
import { Refusal } from '../core/errors.ts'
import type { Launches } from '../fleet/launches.ts'
import { InvalidBody } from '../http/json-app.ts'
import { complete } from './launch-complete.ts'
import { parseLaunchBody } from './launch-body.ts'
import { type LaunchCalls, toLogs } from './launch-calls.ts'
import type { SocketRequest, SocketRoutes } from './socket.ts'
import type { Stats } from './stats.ts'

export type LaunchSocketDeps = { launches: Launches; calls: LaunchCalls; stats: Stats }

const stopBody = z.object({ id: z.string().trim().min(1), force: z.boolean().default(false) })

export function createLaunchSocketRoutes({ launches, calls, stats }: LaunchSocketDeps): SocketRoutes {
  return {
    /** LaunchResponse[]; with `include_terminal=true` those that ended too. */
    'GET /launches': async ({ query }) => calls.list(isTrue(query, 'include_terminal')),
    /** The whole list again with each change, terminal ones included. */
    'GET /launches/watch': ({ abort }) => changesOf(launches.all, abort),
    'GET /launches/one': async ({ query }) => calls.get(idOf(query)),
    /** LaunchRequest → LaunchResponse */
    'POST /launches': async ({ body }) => calls.create(readBody(body)),
    /** `{id, force?}` → LaunchResponse, within 28 s */
    'POST /launches/stop': async ({ body }) => {
      const { id, force } = readStop(body)
      return calls.stop(id, force)
    },
    /** `{id}` → the last LaunchResponse of one that has ended and is no longer listed */
    'POST /launches/forget': async ({ body }) => {
      const { id } = readStop(body)
      const last = calls.get(id)
      await launches.forget(id)
      return last
    },
    /** Takes a forced stop of the node's own launch back. */
    'POST /launches/node': () => launches.startNode(),
    /** LogsResponse */
    'GET /launches/logs': async ({ query }) => calls.logs(idOf(query), offsetOf(query)),
    /** LogsResponse after LogsResponse, until the launch has ended or the caller leaves. */
    'GET /launches/follow': ({ query, abort }) => follow(idOf(query), offsetOf(query), abort),
    /** `{id, prompt, max_tokens?, temperature?, guided_decoding?}` → pieces of text, the last with counts. */
    'POST /launches/complete': (request) =>
      complete({ get: (id) => calls.get(id), upstreams: (id) => launches.upstreams(id) }, request),
    'GET /stats': () => stats.read(),
  }

  async function* follow(id: string, offset: number, abort: AbortSignal) {
    calls.get(id)
    for await (const chunk of launches.followLog(id, offset, abort)) yield toLogs(id, chunk)
  }
}

type Query = SocketRequest['query']

const isTrue = (query: Query, name: string) => /^(?:1|true|yes|on)$/i.test(query.get(name) ?? '')

function idOf(query: Query): string {
  const id = query.get('id')?.trim()
  if (!id) throw new Refusal('launch-id-missing', 400, 'no id of a launch is named')
  return id
}

function offsetOf(query: Query): number {
  const given = query.get('offset') ?? '0'
  if (!/^\d{1,15}$/.test(given))
    throw new Refusal('bad-offset', 400, `offset ${given} is no whole number of 0 or above`)
  return Number(given)
}

function readBody(body: unknown) {
  try {
    return parseLaunchBody(body)
  } catch (error) {
    if (!(error instanceof InvalidBody)) throw error
    const told = error.issues.map((one) => toSentence(one as { loc: string[]; msg: string }))
    throw new Refusal('bad-launch', 400, `launch: ${told.join('; ')}`)
  }
}

function readStop(body: unknown): z.output<typeof stopBody> {
  const found = stopBody.safeParse(body)
  if (found.success) return found.data
  throw new Refusal('launch-id-missing', 400, 'no id of a launch is named')
}

const toSentence = ({ loc, msg }: { loc: readonly (string | number)[]; msg: string }) =>
  `${loc.slice(1).join('.') || 'body'}: ${msg}`
