// The rehearsal's own door (its own port, loopback): faults, phases, what was called and what arrived. For tests and `npm start`.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Fault, namedFaults } from './api-node-faults.ts'
import { type Answer, answerWith, type Listener, readSeen, Refused, type Seen } from './api-node-http.ts'
import { type PocStart, startPoc, startValidation, stopPoc, toInit } from './api-node-poc.ts'
import type { Broker } from './api-node-broker.ts'
import type { World } from './api-node-world.ts'

/**
 * POST /rehearsal/faults [Fault|name]; /rehearsal/away and /back; /rehearsal/poc/start|validate|stop; /rehearsal/poll and
 * /reconcile (at once); /rehearsal/poc_init/ID {version}. GET /rehearsal/calls, /nodes, /validated, /load,
 * /coverage?groups=K&nonces=1&block=HASH.
 */
export function answerControl(world: World, broker: Broker, listeners: () => readonly Listener[]) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    void (async () => {
      const seen = await readSeen(request)
      await answerWith(response, async () =>
        seen.method === 'GET' ? read(world, seen) : act({ world, broker, listeners }, seen),
      )
    })().catch(() => response.destroy())
  }
}

function read(world: World, seen: Seen): Answer {
  switch (seen.path) {
    case '/rehearsal/calls':
      return { status: 200, body: world.calls }
    case '/rehearsal/nodes':
      return { status: 200, body: [...world.nodes.values()] }
    case '/rehearsal/validated':
      return { status: 200, body: world.validated }
    case '/rehearsal/load':
      return { status: 200, body: { inFlight: world.inFlight, peak: world.peak } }
    case '/rehearsal/coverage': {
      const block = seen.query.get('block') ?? world.round?.blockHash ?? ''
      const groups = Number(seen.query.get('groups') ?? 1)
      return { status: 200, body: world.coverage.describe(block, groups, seen.query.get('nonces') === '1') }
    }
    default:
      throw new Refused(404, 'Not Found')
  }
}

type Stage = { world: World; broker: Broker; listeners: () => readonly Listener[] }

async function act({ world, broker, listeners }: Stage, seen: Seen): Promise<Answer> {
  const body: unknown = seen.text === '' ? {} : JSON.parse(seen.text)
  const done = { status: 200, body: { status: 'OK' } }
  const init = /^\/rehearsal\/poc_init\/([^/]+)$/.exec(seen.path)?.[1]
  if (init) return setInit(world, decodeURIComponent(init), body as { version?: string })
  switch (seen.path) {
    case '/rehearsal/faults':
      world.faults.set(parseFaults(body))
      return done
    case '/rehearsal/away':
      await Promise.all(listeners().map((one) => one.leave()))
      return done
    case '/rehearsal/back':
      await Promise.all(listeners().map((one) => one.comeBack()))
      return done
    case '/rehearsal/poc/start':
      return { status: 200, body: await startPoc(world, body as PocStart) }
    case '/rehearsal/poc/validate':
      return { status: 200, body: await startValidation(world) }
    case '/rehearsal/poc/stop':
      return { status: 200, body: await stopPoc(world) }
    case '/rehearsal/poll':
      await broker.pollAll()
      return done
    case '/rehearsal/reconcile':
      await broker.reconcileAll()
      return done
    default:
      throw new Refused(404, 'Not Found')
  }
}

/** Lets GET poc_init/ID hand out a round for the node that is registered as `ID`, and opens the phase for its batches. */
function setInit(world: World, id: string, { version = 'v2' }: { version?: string }): Answer {
  const entry = world.nodes.get(id)
  if (!entry) throw new Refused(404, `node not found: ${id}`)
  const init = toInit(world, entry)
  world.phase = 'generate'
  world.round = {
    blockHash: String(init['block_hash']),
    blockHeight: Number(init['block_height']),
    nodeCount: Number(init['node_count']),
    params: {},
  }
  world.pocInit.set(id, { version, init_generate: init })
  return { status: 200, body: init }
}

/** @throws Refused 400 for a name that no fault has */
export function parseFaults(body: unknown): Fault[] {
  const list = Array.isArray(body) ? (body as unknown[]) : [body]
  return list
    .filter((one) => typeof one === 'string' || (typeof one === 'object' && one !== null && 'kind' in one))
    .map((one) => {
      if (typeof one !== 'string') return one as Fault
      const named = namedFaults[one]
      if (!named) throw new Refused(400, `unknown fault ${one}; known: ${Object.keys(namedFaults).join(', ')}`)
      return named
    })
}
