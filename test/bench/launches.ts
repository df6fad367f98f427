// Launches over the control listener of a real daemon, as a client of it sees them. Rehearsal engines, on a machine of GPUs that the
// node itself wants none of.
import type { LaunchResponse } from '../../src/api/launches.ts'
import { rehearsalModel } from '../../src/rehearsal/machine-root.ts'
import { eventually } from '../support/eventually.ts'
import { forgetBefore, startDaemon, startWorld, type World } from './daemon.ts'
import type { BenchContext } from './row.ts'

export interface LaunchClient {
  /** In `bootstrapping`, with its GPU or waiting for it. */
  launch(gpu: number): Promise<LaunchResponse>
  /** Answered when its end is proved, or after 27 s. */
  stop(id: string): Promise<LaunchResponse>
  forget(id: string): Promise<unknown>
  list(): Promise<LaunchResponse[]>
  whenReady(id: string): Promise<unknown>
  /** A completion that takes minutes; resolves when the engine works on it. The client that leaves is `abort`. */
  askForever(id: string, abort: AbortSignal): Promise<void>
}

/** Neither model nor API nodes of its own: all GPUs are for launches. */
export async function startLaunchWorld(context: BenchContext, name: string, set: Record<string, string>, gpus: number) {
  const own = { INFERENCE_NODE: 'false', API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '', REHEARSAL_LOAD_MS: '200' }
  const world = await startWorld(context, name, { ...own, ...set }, gpus)
  await forgetBefore(world)
  const daemon = await startDaemon(context, world)
  const client = createClient(world)
  await eventually('launches are listed', () => client.list())
  return { world, client, daemon }
}

function createClient({ ports }: World): LaunchClient {
  const base = `http://127.0.0.1:${ports.control}`
  const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const headers = { 'content-type': 'application/json' }
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
    const answer = await fetch(`${base}${path}`, init)
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
    return JSON.parse(text) as T
  }
  const look = (id: string) => ask<LaunchResponse>('GET', `/status/${id}`)
  return {
    launch: (gpu) => ask('POST', '/launch', { model: rehearsalModel, gpu_ids: [gpu], queue: true }),
    stop: (id) => ask('POST', `/stop/${id}`),
    forget: (id) => ask('DELETE', `/launch/${id}`),
    list: () => ask('GET', '/launch?include_terminal=true'),
    whenReady: (id) => eventually(`${id} is ready`, async () => (await look(id)).state === 'ready', 60_000),
    async askForever(id, signal) {
      const body = JSON.stringify({ model: rehearsalModel, prompt: 'a', max_tokens: 4000, stream: true })
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(`${base}/launch/${id}/v1/completions`, { method: 'POST', headers, body, signal })
      await answer.body?.getReader().read()
    },
  }
}
