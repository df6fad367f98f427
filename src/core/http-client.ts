// The parts of undici that we use, loaded at the first call: the whole of it costs 14 MB and 50 ms more, for fetch, web sockets,
// caches and mocks, and nothing of it is needed before the listeners are open. The files are those of the pinned version.
import { createRequire } from 'node:module'
import type { Agent, Dispatcher, Pool } from 'undici'

type Library = { Agent: typeof Agent; Pool: typeof Pool; shared: Agent }

const load = createRequire(import.meta.url)
const loaded: { library?: Library } = {}

/** One origin. */
export function createPool(origin: string, options: Pool.Options): Pool {
  return new (library().Pool)(origin, options)
}

/** Any origin, a pool for each. */
export function createAgent(options: Agent.Options): Agent {
  return new (library().Agent)(options)
}

type Ask = Omit<Dispatcher.RequestOptions, 'origin' | 'path' | 'method'> & {
  method?: Dispatcher.HttpMethod
  dispatcher?: Agent
}

/** As undici's own `request`. @throws what undici throws */
export function request(
  url: string,
  { dispatcher, method = 'GET', ...rest }: Ask = {},
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url)
  return (dispatcher ?? library().shared).request({ ...rest, method, origin, path: `${pathname}${search}` })
}

/** The body of an answer as text. @throws where it is longer than `longest` bytes */
export async function readText(body: AsyncIterable<Buffer>, longest: number): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > longest) throw new Error(`answer is longer than ${longest} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function library(): Library {
  return (loaded.library ??= loadLibrary())
}

function loadLibrary(): Library {
  const from = (name: string): unknown => load(`undici/lib/${name}.js`)
  const { prototype } = from('dispatcher/dispatcher') as { prototype: object }
  // What undici's own index does: `pool.request` and the like.
  Object.assign(prototype, from('api/index'))
  const found = { Agent: from('dispatcher/agent') as typeof Agent, Pool: from('dispatcher/pool') as typeof Pool }
  return { ...found, shared: new found.Agent() }
}
