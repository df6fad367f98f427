// The launch service on :8000 (contracts/control-plane.md A1.1), and what we add to it. Shapes and texts are those that its clients
// parse; ours are more fields, parameters and routes, never others.
import type { LaunchResponse } from '../api/launches.ts'
import type { Launches } from '../fleet/launches.ts'
import { heldFor } from '../http/hold.ts'
import { createEvents } from './events.ts'
import { renderHome } from './home-page.ts'
import { readJsonBody } from './json-body.ts'
import { parseLaunchBody } from './launch-body.ts'
import type { LaunchCalls } from './launch-calls.ts'
import { readFlag, readOffset } from './query.ts'
import { type Route, toJson, toPage } from './router.ts'
import type { Stats } from './stats.ts'
import { renderStats } from './stats-json.ts'

export type LaunchRoutesDeps = { launches: Launches; calls: LaunchCalls; stats: Stats }

export function createLaunchRoutes({ launches, calls, stats }: LaunchRoutesDeps): Route[] {
  const sendEvents = createEvents(launches)
  return [
    { methods: ['GET'], path: '/', answer: () => toPage(renderHome(calls.list(false), new Date())) },
    {
      methods: ['POST'],
      path: '/launch',
      answer: async ({ request, response }) =>
        toJson(201, toWire(asCreated(await calls.create(parseLaunchBody(await readJsonBody(request, response)))))),
    },
    {
      methods: ['GET'],
      path: '/launch',
      answer: ({ query }) => toJson(200, calls.list(readFlag(query, 'include_terminal')).map(toWire)),
    },
    {
      methods: ['DELETE'],
      path: '/launch/{launch_id}',
      answer: async ({ request, params: [id = ''] }) => toJson(200, toWire(await calls.remove(id, heldFor(request)))),
    },
    {
      methods: ['GET'],
      path: '/launch/{launch_id}/events',
      answer: async ({ request, response, params: [id = ''] }) => sendEvents({ request, response }, calls.get(id)),
    },
    {
      methods: ['GET'],
      path: '/status/{launch_id}',
      answer: ({ params: [id = ''] }) => toJson(200, toWire(calls.get(id))),
    },
    {
      methods: ['GET'],
      path: '/logs/{launch_id}',
      answer: async ({ params: [id = ''], query }) => toJson(200, await calls.logs(id, readOffset(query))),
    },
    {
      methods: ['POST'],
      path: '/stop/{launch_id}',
      answer: async ({ request, params: [id = ''], query }) =>
        toJson(200, toWire(await calls.stop(id, readFlag(query, 'force'), heldFor(request)))),
    },
    {
      methods: ['GET'],
      path: '/stats',
      answer: async () => ({ status: 200, type: 'application/json', text: renderStats(await stats.read()) }),
    },
  ]
}

/** What becomes of it, however soon, its status tells: clients expect a launch that begins. */
function asCreated(made: LaunchResponse): LaunchResponse {
  const { diagnosis: _diagnosis, progress: _progress, ...launch } = made
  return { ...launch, state: 'bootstrapping', updated_at: launch.created_at, error: null }
}

/** The eight fields that every client knows come first, in the order that they are used to. */
export function toWire(launch: LaunchResponse): object {
  const { launch_id, model, gpu_ids, task, state, created_at, updated_at, error, ...ours } = launch
  return { launch_id, model, gpu_ids, task, state, created_at, updated_at, error, ...ours }
}
