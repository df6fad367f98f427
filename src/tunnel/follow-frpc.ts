// Watches one living frpc: asks it, proves its ports from outside, and says what is true, again and again.
import { systemClock, waitTogether } from '../core/clock.ts'
import type { HostPort } from '../core/host-port.ts'
import { renderHostPort } from '../core/host-port.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { boundLog, readLastLines } from '../core/log-file.ts'
import { createAdminClient, type Status } from './frpc-admin.ts'
import { type LogReading, parseFrpcLog } from './frpc-log.ts'
import type { Life } from './frpc-lives.ts'
import { isRunning, judgeTunnel, type Role, roles, type Verdict } from './judge-tunnel.ts'
import { type Probe, sendProbe, whyNotConnected } from './probe.ts'

/** All in ms. */
export type TunnelTimes = {
  /** Between two looks while it is not up, for the first 5 s; then as when it is up. */
  startingPoll: number
  /** Between two looks at the admin API: a lost session is noticed this soon. */
  poll: number
  /** Between two proofs while all is well; only looks are due, so the first one after this time. */
  probe: number
  /** Between two proofs while something is wrong. */
  failingProbe: number
  /** Of a proof with its second try. */
  probeTimeout: number
  /** An admin API that does not answer for so long belongs to a frpc that is to be replaced. */
  silence: number
}

/** A frozen server is found out by a proof alone, for up to 40 s (facts/frp.md 1.9): here after 6 s and 4 s at the latest. */
export const tunnelTimes: TunnelTimes = {
  startingPoll: 50,
  poll: 3000,
  probe: 5500,
  failingProbe: 3000,
  probeTimeout: 4000,
  silence: 20_000,
}

export type FollowOptions = {
  /** Of the frp server: where frpc logs in, and on which host the remote ports are. */
  server: HostPort
  ports: Record<Role, number>
  names: Record<Role, string>
  nonce: string
  times: TunnelTimes
  log: Log
  /** The remote ports were reached from here before, by this life or an earlier one. */
  everProved: boolean
}

/** Bytes of frpc's log that are kept; it writes a line per connection while our listener is down. */
const keptLog = 1_000_000
const boundEvery = 60_000

/** Tells each verdict to `see`. Ends, and never throws, when `abort` fires or frpc's admin API stays silent. */
export async function followFrpc(
  life: Life,
  options: FollowOptions,
  see: (verdict: Verdict) => void,
  abort: AbortSignal,
): Promise<'aborted' | 'silent'> {
  using client = createAdminClient(life.admin)
  const { times } = options
  const clock = systemClock
  const began = clock.now()
  const prover = createProver(options)
  let [answeredAt, boundedAt] = [began, began]
  while (!abort.aborted) {
    const admin = await client.readStatus()
    const now = clock.now()
    if (admin.kind === 'status') answeredAt = now
    const probes = await prover.prove(admin, abort)
    if (abort.aborted) break
    const verdict = judgeTunnel({
      age: now - began,
      admin,
      log: prover.allProved(probes) ? {} : await readLog(life),
      names: options.names,
      addresses: prover.addresses,
      probes,
      serverGone: prover.serverGone(),
      everProved: prover.everProved(),
    })
    see(verdict)
    if (now - answeredAt > times.silence) return 'silent'
    if (now - boundedAt > boundEvery) {
      boundedAt = now
      await boundLog(life.body.logPath, keptLog).catch((error: unknown) =>
        options.log.debug({ life: life.body.id, why: messageOf(error) }, 'log of frpc not bounded'),
      )
    }
    const hurry = verdict.phase !== 'proved' && verdict.phase !== 'unproved' && now - began < 5000
    await waitTogether(clock, hurry ? times.startingPoll : times.poll, abort)
  }
  return 'aborted'
}

async function readLog(life: Life): Promise<LogReading> {
  return parseFrpcLog(await readLastLines(life.body.logPath, 60, 16_384).catch(() => []))
}

type Probes = Partial<Record<Role, Probe>>

/** Remembers when it asked last, and what came back. Asks only while frpc says that both ports run. */
function createProver({ server, ports, names, nonce, times, ...options }: FollowOptions) {
  const target = (role: Role): HostPort => ({ host: server.host, port: ports[role] })
  const addresses = {
    inference: renderHostPort(target('inference')),
    node: renderHostPort(target('node')),
  }
  const ask = async (timeout: number, abort: AbortSignal): Promise<Probes> => {
    const [inference, node] = await Promise.all(roles.map((role) => sendProbe(target(role), nonce, timeout, abort)))
    return { ...(inference && { inference }), ...(node && { node }) }
  }
  let known: Probes = {}
  let serverGone: string | undefined
  let askedAt = Number.NEGATIVE_INFINITY
  let { everProved } = options
  return {
    addresses,
    allProved,
    everProved: () => everProved,
    /** Why the server's own port cannot be reached either, where a remote port cannot. */
    serverGone: () => serverGone,
    async prove(admin: Status, abort: AbortSignal): Promise<Probes> {
      if (!isRunning({ admin, names })) {
        known = {}
        serverGone = undefined
        askedAt = Number.NEGATIVE_INFINITY
        return known
      }
      const wasProved = allProved(known)
      const every = wasProved || isOutOfReach(known, everProved) ? times.probe : times.failingProbe
      if (performance.now() - askedAt < every) return known
      known = wasProved ? await askTwice(ask, times.probeTimeout, abort) : await ask(times.probeTimeout, abort)
      serverGone = roles.some((role) => isClosed(known[role]))
        ? await whyNotConnected(server, times.probeTimeout * slowFrom, abort)
        : undefined
      askedAt = performance.now()
      everProved ||= roles.some((role) => known[role]?.kind === 'proved')
      return known
    },
  }
}

/** Of the time of a proof: what takes longer is late, though not lost. */
const slowFrom = 0.4

const allProved = (probes: Probes) => roles.every((role) => probes[role]?.kind === 'proved')
const isClosed = (probe: Probe | undefined) => probe?.kind === 'refused' || probe?.kind === 'unreachable'

type Ask = (timeout: number, abort: AbortSignal) => Promise<Probes>

/** One lost request is no lost tunnel: what was proved a moment ago is asked again before it is called down, both in one `timeout`. */
async function askTwice(ask: Ask, timeout: number, abort: AbortSignal): Promise<Probes> {
  const began = performance.now()
  const first = ask(timeout, abort)
  const slow = new AbortController()
  const early = await Promise.race([first, systemClock.wait(timeout * slowFrom, slow.signal)])
  slow.abort()
  if (early && allProved(early)) return early
  const second = ask(timeout - (performance.now() - began), abort)
  const [one, other] = await Promise.all([first, second])
  return allProved(one) ? one : other
}

/** Ports that were never reached from here: nothing is broken, so there is no hurry to try again. */
function isOutOfReach(probes: Probes, everProved: boolean): boolean {
  return !everProved && roles.every((role) => isClosed(probes[role]))
}
