// The admin API (:9200, contracts/api-nodes.md 3.2): upsert, list, delete, enable, disable, batch, and the private fork's routes by knob.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Broker, reload } from './api-node-broker.ts'
import { type Answer, answerWith, readSeen, Refused, type Seen } from './api-node-http.ts'
import { playFault } from './api-node-faults.ts'
import { judgeNode, type NodeRecord, parseNode } from './api-node-record.ts'
import type { BrokerNode, NodeState, World } from './api-node-world.ts'

export function answerAdmin(world: World, broker: Broker) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    world.inFlight += 1
    world.peak = Math.max(world.peak, world.inFlight)
    response.once('close', () => {
      world.inFlight -= 1
    })
    void (async () => {
      const seen = await readSeen(request)
      const call = { at: Date.now(), direction: 'in' as const, listener: 'admin' as const, method: seen.method }
      const noted = { ...call, path: seen.path, contentType: seen.contentType, body: toJson(seen.text), status: 0 }
      world.record(noted)
      const fault = world.faults.take(seen)
      if (fault && (await playFault(fault, response))) return
      noted.status = await answerWith(response, () => Promise.resolve(route(world, broker, seen)))
    })().catch(() => response.destroy())
  }
}

function route(world: World, broker: Broker, seen: Seen): Answer {
  const [, id, verb] = /^\/admin\/v1\/nodes(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(seen.path) ?? []
  const known = seen.path.startsWith('/admin/v1/nodes')
  if (known && seen.method === 'GET' && !id) return { status: 200, body: [...world.nodes.values()].map(toListed) }
  if (known && seen.method === 'POST' && id === 'batch' && !verb) return createBatch(world, broker, seen)
  // PUT ignores its path id: the body's decides.
  if (known && ((seen.method === 'POST' && !id) || (seen.method === 'PUT' && id && !verb)))
    return { status: 200, body: upsert(world, broker, bind(seen)) }
  if (known && seen.method === 'DELETE' && id && !verb) return { status: 200, body: world.nodes.delete(decode(id)) }
  if (known && seen.method === 'POST' && id && (verb === 'enable' || verb === 'disable'))
    return setEnabled(world, decode(id), verb === 'enable')
  return routePrivate(world, seen, id, verb)
}

function routePrivate(world: World, seen: Seen, id: string | undefined, verb: string | undefined): Answer {
  if (!world.options.privateRoutes) throw new Refused(404, 'Not Found')
  if (id && verb === 'hardware' && seen.method === 'POST') {
    if (!world.nodes.has(decode(id))) throw new Refused(404, `node not found: ${decode(id)}`)
    world.hardware.set(decode(id), toJson(seen.text))
    return { status: 200, body: { status: 'ok' } }
  }
  const init = /^\/admin\/v1\/poc_init\/([^/]+)$/.exec(seen.path)?.[1]
  if (!init || seen.method !== 'GET') throw new Refused(404, 'Not Found')
  if (seen.query.get('access') !== 'true') throw new Refused(403, 'access required')
  return { status: 200, body: world.pocInit.get(decode(init)) ?? { version: 'v2', init_generate: {} } }
}

function upsert(world: World, broker: Broker, body: unknown): NodeRecord {
  const node = parseNode(body)
  if (typeof node === 'string') throw new Refused(400, `invalid request body: ${node}`)
  const existing = world.nodes.get(node.id)
  return existing ? update(world, broker, existing, node) : create(world, broker, node)
}

function create(world: World, broker: Broker, node: NodeRecord): NodeRecord {
  const refuse = (why: string) => new Refused(400, `failed to create node: ${why}`)
  const wrong = judgeNode(node, others(world, node.id), world.options.reservedArgs)
  if (wrong.length > 0) throw refuse(`validation failed: ${wrong.join('; ')}`)
  const unknown = unknownModels(world, node)
  if (unknown.length > 0 && world.options.unknownModels === 'reject')
    throw refuse('one or more models are not valid governance models. Check logs for details.')
  for (const model of unknown) delete node.models[model]
  if (Object.keys(node.models).length === 0) throw refuse(`node ${node.id} has no governance-valid models`)
  world.lastNum += 1
  const entry = { node: { ...node, node_num: world.lastNum }, state: toState(world), busy: false }
  world.nodes.set(node.id, entry)
  broker.trigger(entry)
  return entry.node
}

/** Errors of an update are 500, whatever they are. */
function update(world: World, broker: Broker, entry: BrokerNode, node: NodeRecord): NodeRecord {
  const wrong = judgeNode(node, others(world, node.id), world.options.reservedArgs)
  if (wrong.length > 0) throw new Refused(500, `failed to update node: validation failed: ${wrong.join('; ')}`)
  const [unknown] = unknownModels(world, node)
  if (unknown) throw new Refused(500, `failed to update node: model ${unknown} is not a valid governance model`)
  const before = JSON.stringify([entry.node.models, entry.node.inference_port, entry.node.host])
  entry.node = { ...node, node_num: entry.node.node_num }
  const changed = before !== JSON.stringify([node.models, node.inference_port, node.host])
  const { reloadOnUpdate } = world.options
  if (reloadOnUpdate === 'always' || (reloadOnUpdate === 'changed' && changed))
    void reload(world, entry).catch(() => broker.trigger(entry))
  return entry.node
}

function createBatch(world: World, broker: Broker, seen: Seen): Answer {
  const body = bind(seen)
  if (!Array.isArray(body)) throw new Refused(400, 'invalid request body: json: cannot unmarshal object into Go value')
  const nodes: NodeRecord[] = []
  const errors: string[] = []
  for (const [at, one] of body.entries()) {
    const node = parseNode(one)
    try {
      if (typeof node === 'string') throw new Refused(400, node)
      if (world.nodes.has(node.id)) throw new Refused(400, `failed to create node: node already exists: ${node.id}`)
      nodes.push(create(world, broker, node))
    } catch (error) {
      const why = error instanceof Refused ? `code=${error.status}, message=${String(error.body)}` : String(error)
      errors.push(`node[${at}] (id: ${typeof node === 'string' ? '' : node.id}): ${why}`)
    }
  }
  if (errors.length > 0 && nodes.length === 0) throw new Refused(400, { error: 'all nodes failed validation', errors })
  return errors.length > 0 ? { status: 206, body: { nodes, errors } } : { status: 201, body: nodes }
}

function setEnabled(world: World, id: string, enabled: boolean): Answer {
  const entry = world.nodes.get(id)
  if (!entry) throw new Refused(404, `node not found: ${id}`)
  entry.state.admin_state = { enabled, epoch: world.epoch }
  return { status: 200, body: { message: `node ${enabled ? 'enabled' : 'disabled'} successfully`, node_id: id } }
}

function toListed({ node, state }: BrokerNode): unknown {
  // Go writes a slice that was never made as null.
  const models = Object.fromEntries(
    Object.entries(node.models).map(([model, { args }]) => [model, { args: args.length > 0 ? args : null }]),
  )
  const { auth_token: _, ...shown } = node
  return { node: { ...shown, models }, state }
}

function toState(world: World): NodeState {
  return {
    intended_status: 'INFERENCE',
    current_status: 'UNKNOWN',
    poc_intended_status: 'IDLE',
    poc_current_status: 'IDLE',
    lock_count: 0,
    failure_reason: '',
    status_timestamp: new Date().toISOString(),
    ml_node_version: '',
    admin_state: { enabled: true, epoch: world.epoch },
    epoch_models: {},
    epoch_ml_nodes: {},
    preserved_models: {},
  }
}

function unknownModels(world: World, node: NodeRecord): string[] {
  const { governance } = world.options
  return governance ? Object.keys(node.models).filter((model) => !(model in governance)) : []
}

function others(world: World, id: string): NodeRecord[] {
  return [...world.nodes.values()].map(({ node }) => node).filter((node) => node.id !== id)
}

function bind(seen: Seen): unknown {
  if (!seen.contentType.startsWith('application/json'))
    throw new Refused(400, 'invalid request body: code=415, message=Unsupported Media Type')
  try {
    return JSON.parse(seen.text)
  } catch (error) {
    throw new Refused(400, `invalid request body: ${String(error)}`)
  }
}

function decode(id: string): string {
  try {
    return decodeURIComponent(id)
  } catch {
    throw new Refused(400, 'Bad Request')
  }
}

function toJson(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return text
  }
}
