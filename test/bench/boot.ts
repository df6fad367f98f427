// One boot of the whole daemon, from nothing to mining: the broker has a round that begins with the first engine that serves
// and that the other, still loading then, must join.
import { setTimeout as wait } from 'node:timers/promises'
import {
  findPost,
  forgetBefore,
  readRssMb,
  startDaemon,
  startWorld,
  whenMarked,
  whenRegistered,
  type World,
} from './daemon.ts'
import type { BenchContext } from './row.ts'

export type Boot = {
  listeningMs: number
  /** From the spawn until the node listener answered what was asked as soon as it listened. */
  answeringMs: number
  /** From the first engine's listening to the arrival of our POST at the API node. */
  registrationMs: number
  /** From the last engine's listening to its taking the round. */
  generatingMs: number
  rssMb: number
}

/** The second engine is later than the first, as engines are. */
const loads = '2000,3000'

export async function measureBoot(context: BenchContext): Promise<Boot> {
  const world = await startWorld(context, 'boots', { REHEARSAL_LOAD_MS: loads })
  await context.once('compiled', () => bootOnce(context, world))
  await forgetBefore(world)
  const daemon = await startDaemon(context, world)
  const answering = whenAnswered(world.ports.node)
  const begun = beginRound(world)
  // Awaited below; whatever fails before that is the error to tell.
  for (const one of [answering, begun]) one.catch(() => {})
  const listening = await whenMarked(world, 'listening', 2)
  const generating = await whenMarked(world, 'generating', 2)
  await whenRegistered(world)
  await begun
  await wait(1000)
  const rssMb = await readRssMb(daemon.pid)
  await daemon.stop()
  const post = findPost(world.apiNode.world.calls)
  const first = Math.min(...listening.map(({ at }) => at))
  const last = listening.reduce((one, other) => (other.at > one.at ? other : one))
  const joined = generating.find(({ slot }) => slot === last.slot)
  return {
    listeningMs: daemon.listeningMs,
    answeringMs: (await answering) - daemon.began,
    registrationMs: (post?.at ?? NaN) - first,
    generatingMs: (joined?.at ?? NaN) - last.at,
    rssMb,
  }
}

/** After this what the daemon loads is in the compile cache: the figures are those of every start but the first. */
async function bootOnce(context: BenchContext, world: World): Promise<void> {
  await forgetBefore(world)
  const daemon = await startDaemon(context, world)
  await whenRegistered(world)
  await daemon.stop()
}

async function whenAnswered(port: number): Promise<number> {
  await (await fetch(`http://127.0.0.1:${port}/api/v1/state`)).arrayBuffer()
  return performance.now()
}

/** The broker's init, again and again until an engine takes it: 503 while none serves. */
async function beginRound({ apiNode, ports }: World): Promise<void> {
  const { options, callbackBase } = apiNode.world
  apiNode.world.phase = 'generate'
  // The broker that rehearses would take the new node for one that should not mine yet, and stop it.
  options.triggers = false
  const model = Object.keys(options.governance ?? {})[0]
  const body = JSON.stringify({
    block_hash: 'bench',
    block_height: 1000,
    public_key: options.publicKey,
    node_id: 0,
    node_count: 1,
    params: { model, seq_len: options.seqLen, k_dim: options.kDim },
    url: `${callbackBase}/v2/poc-batches`,
  })
  for (let tries = 0; tries < 1200; tries += 1) {
    const url = `http://127.0.0.1:${ports.node}/v3.0.8/api/v1/inference/pow/init/generate`
    const answer = await fetch(url, { method: 'POST', body }).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.status === 200) return
    await wait(50)
  }
  throw new Error('no engine took the round')
}
