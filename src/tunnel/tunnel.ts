// One server's tunnel: a frpc that is adopted or launched, followed, and made anew whenever it dies. The view says how it is.
//
//   starting ──> proved / unproved <──> down      each as seen by followFrpc
//      ^                                  |
//      └──── launched again <── died ─────┘      with backoff; `restart` leaves it alive, `stop` ends it
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { type BackoffPolicy, judgeBackoff } from '../core/backoff.ts'
import { systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Intent } from '../core/intent.ts'
import { startLoop } from '../core/loop.ts'
import { gently, type Life } from './frpc-lives.ts'
import type { Verdict } from './judge-tunnel.ts'
import { liveOnce, type LiveOptions, type LiveState } from './live-once.ts'
import { keyOf, remotePorts } from './plan-frpc.ts'
import { toView } from './to-view.ts'
import type { TunnelView } from './tunnels.ts'

export interface Tunnel {
  readonly view: ReadonlySignal<TunnelView>
  end(intent: Intent): Promise<void>
}

/** The first new frpc comes soon: every second without a tunnel may cost a poll of the broker. */
const backoff: BackoffPolicy = { first: 250, factor: 2, cap: 20_000, jitter: 0.25, stable: 30_000 }

/** @param adopted the life of the daemon before us, when it has one for this server */
export function startTunnel(options: LiveOptions, adopted: Promise<Life | undefined>): Tunnel {
  const { wish, log } = options
  const ports = remotePorts(wish.clientId)
  const view = signal<TunnelView>({
    server: wish.server,
    phase: 'starting',
    inferenceRemotePort: ports.inference,
    nodeRemotePort: ports.node,
    since: new Date().toISOString(),
  })
  const stop = new AbortController()
  const state: LiveState = { adopted, life: undefined, everProved: false }
  let failures = 0
  const show = (verdict: Verdict, life?: Life) => {
    if (verdict.phase === 'proved') state.everProved = true
    const next = toView(view.peek(), verdict, life)
    if (next === view.peek()) return
    const changed = next.phase !== view.peek().phase || next.problem?.code !== view.peek().problem?.code
    view.value = next
    if (changed) log.info({ server: wish.server, phase: next.phase, problem: next.problem }, `tunnel ${next.phase}`)
  }
  const loop = startLoop(
    `tunnel ${keyOf(wish.server)}`,
    async (abort) => {
      const began = performance.now()
      const ended = await liveOnce(options, state, show, abort)
      if (ended.why === 'asked') return
      show({ phase: 'down', problem: ended.problem })
      failures = performance.now() - began >= backoff.stable ? 1 : failures + 1
      await systemClock.wait(judgeBackoff(backoff, failures, Math.random()), abort)
    },
    { log, abort: stop.signal, every: 0 },
  )
  const endOnce = async (intent: Intent) => {
    stop.abort()
    await loop.ended
    if (intent === 'restart') return
    await state.life?.body.end(gently).catch((error: unknown) => log.error({ err: error }, messageOf(error)))
    state.life = undefined
  }
  let ending: Promise<void> | undefined
  return { view, end: (intent) => (ending ??= endOnce(intent)) }
}
