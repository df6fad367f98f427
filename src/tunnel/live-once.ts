// One life of a frpc from its launch or adoption to its end, which is one race: it died, it fell silent, or we are asked to go.
import type { Problem } from '../api/status.ts'
import { whenAborted } from '../core/abort.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { readLastLines } from '../core/log-file.ts'
import { FrpcConfigError } from '../frp-config/frpc-config.ts'
import { followFrpc, type TunnelTimes } from './follow-frpc.ts'
import { gently, launchLife, type Life, removeOldLives, type WantedLife } from './frpc-lives.ts'
import { parseFrpcLog } from './frpc-log.ts'
import { readFrpcProgram } from './frpc-program.ts'
import type { Verdict } from './judge-tunnel.ts'
import { judgeFrpc, keyOf, proxyNames, remotePorts } from './plan-frpc.ts'
import { toProblem } from './problems.ts'

export type LiveOptions = WantedLife & {
  /** Of the lives, one folder each. */
  folder: string
  frpcPath: string
  searchPath: string
  nonce: string
  times: TunnelTimes
  log: Log
}

export type LiveState = {
  /** Taken once. */
  adopted: Promise<Life | undefined> | undefined
  /** The frpc that runs, also after we stopped following it. */
  life: Life | undefined
  everProved: boolean
}

/** asked: aborted; the frpc, if any, runs on and is in `state.life`. Otherwise there is none any more. */
export type Ended = { why: 'asked' } | { why: 'died' | 'silent' | 'not-launched'; problem: Problem }

export type Show = (verdict: Verdict, life?: Life) => void

export async function liveOnce(options: LiveOptions, state: LiveState, show: Show, abort: AbortSignal): Promise<Ended> {
  const life = await takeLife(options, state, abort)
  if (life === undefined || abort.aborted) return { why: 'asked' }
  if ('code' in life) return { why: 'not-launched', problem: life }
  const side = new AbortController()
  try {
    const following = followFrpc(
      life,
      { ...toFacts(options), everProved: state.everProved },
      (verdict) => show(verdict, life),
      AbortSignal.any([abort, side.signal]),
    )
    const why = await Promise.race([
      life.body.exited.then(() => 'died' as const),
      whenAborted(abort, side.signal).then(() => 'aborted' as const),
      following,
    ])
    if (why === 'aborted') return { why: 'asked' }
    const problem = await describeEnd(life, why)
    // Also after a death: what is left of it would hold our names on the server.
    await life.body.end(gently)
    state.life = undefined
    return { why, problem }
  } finally {
    side.abort()
  }
}

function toFacts({ wish, nonce, times, log }: LiveOptions) {
  return {
    server: wish.server,
    ports: remotePorts(wish.clientId),
    names: proxyNames(wish.instanceId),
    nonce,
    times,
    log,
  }
}

/** The one that runs, the one of the daemon before us, or a new one; a problem where none can be; undefined when aborted. */
async function takeLife(
  options: LiveOptions,
  state: LiveState,
  abort: AbortSignal,
): Promise<Life | Problem | undefined> {
  if (state.life) return state.life
  const adopted = await state.adopted
  state.adopted = undefined
  const life = adopted ?? (await launch(options, abort))
  if (life && !('code' in life)) state.life = life
  return life
}

async function launch(options: LiveOptions, abort: AbortSignal): Promise<Life | Problem | undefined> {
  const { folder, frpcPath, searchPath, log, wish } = options
  const frpc = await readFrpcProgram(frpcPath, searchPath, abort)
  if (abort.aborted) return undefined
  if (frpc.kind === 'bad') return frpc.problem
  const able = judgeFrpc(frpc.version)
  if ('tooOld' in able) return toProblem('frpc-too-old', `${frpc.path}: ${able.tooOld}`)
  try {
    const how = { path: frpc.path, version: frpc.version, tokenFrom: able.tokenFrom, searchPath }
    await removeOldLives(folder, keyOf(wish.server), log)
    return await launchLife(folder, options, how, log)
  } catch (error) {
    if (error instanceof FrpcConfigError) return toProblem('frpc-config-refused', error.problems.join('; '))
    return toProblem('tunnel-files-unwritable', messageOf(error))
  }
}

async function describeEnd(life: Life, why: 'died' | 'silent'): Promise<Problem> {
  if (why === 'silent')
    return toProblem('frpc-silent', `the admin API at ${life.body.origin} fell silent; frpc is replaced`)
  const code = await life.body.exited
  const { last = 'its log is empty' } = parseFrpcLog(await readLastLines(life.body.logPath, 20, 16_384).catch(() => []))
  const isBusy = last.includes('address already in use')
  return toProblem(isBusy ? 'frpc-admin-port-busy' : 'frpc-died', `exit ${code ?? 'unknown'}: ${last}`)
}
