// The callback server (:9100): takes mined and validated batches, with the real one's refusals, and books every nonce.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Artifact } from './api-node-coverage.ts'
import { answerWith, readSeen, Refused, type Seen } from './api-node-http.ts'
import { playFault } from './api-node-faults.ts'
import type { World } from './api-node-world.ts'

type Batch = { block_hash?: string; node_id?: number; artifacts?: Artifact[]; request_id?: string }

export function answerCallbacks(world: World) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    void (async () => {
      const seen = await readSeen(request)
      const fault = world.faults.take(seen)
      if (fault && (await playFault(fault, response))) return
      const status = await answerWith(response, () => Promise.resolve({ status: take(world, seen), body: undefined }))
      world.record({
        at: Date.now(),
        direction: 'in',
        listener: 'callbacks',
        method: seen.method,
        path: seen.path,
        status,
      })
    })().catch(() => response.destroy())
  }
}

function take(world: World, seen: Seen): number {
  const match = /^\/v2\/poc-batches\/([^/]+)\/(generated|validated)$/.exec(seen.path)
  if (!match || seen.method !== 'POST') throw new Refused(404, 'Not Found')
  const batch = parseBatch(seen.text)
  const model = unescapeTwice(match[1] ?? '')
  if (match[2] === 'generated') takeGenerated(world, batch, model)
  else takeValidated(world, batch)
  return 200
}

function takeGenerated(world: World, batch: Batch, model: string): void {
  if (world.phase !== 'generate') throw new Refused(503, 'not in PoC generate phase')
  const entry = [...world.nodes.values()].find(({ node }) => node.node_num === batch.node_id)
  if (!entry) throw new Refused(400, `unknown node number: ${String(batch.node_id)}`)
  if (!(model in entry.node.models)) throw new Refused(400, `unknown model: ${model}`)
  const artifacts = batch.artifacts ?? []
  for (const { nonce, vector_b64: vector } of artifacts) {
    if (!vector) throw new Refused(400, `empty vector for nonce ${nonce}`)
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(vector) || vector.length % 4 !== 0)
      throw new Refused(400, `invalid base64 for nonce ${nonce}`)
  }
  const nodeCount = world.round?.nodeCount ?? 1
  world.coverage.add(batch.block_hash ?? '', entry.node.node_num, nodeCount, artifacts)
}

function takeValidated(world: World, batch: Batch): void {
  if (world.phase !== 'validate') throw new Refused(503, 'not in PoC validate phase')
  world.validated.push(batch)
  if (world.validated.length > 10_000) world.validated.splice(0, 1_000)
}

function parseBatch(text: string): Batch {
  try {
    const found: unknown = JSON.parse(text)
    if (typeof found === 'object' && found !== null) return found as Batch
  } catch {
    // Refused below.
  }
  throw new Refused(400, 'invalid request body')
}

function unescapeTwice(text: string): string {
  try {
    return decodeURIComponent(decodeURIComponent(text))
  } catch {
    throw new Refused(400, `invalid model id: ${text}`)
  }
}
