// From what was seen to how a tunnel is: the admin API's status, frpc's log, and what came back through the remote ports.
import type { Problem } from '../api/status.ts'
import type { ProxyState, Status } from './frpc-admin.ts'
import type { LogReading } from './frpc-log.ts'
import { toProblem, type TunnelProblemCode } from './problems.ts'
import type { Probe } from './probe.ts'

export type Role = 'inference' | 'node'
export const roles: readonly Role[] = ['inference', 'node']

export type Seen = {
  /** How long this frpc has been followed, ms. */
  age: number
  admin: Status
  log: LogReading
  /** Name of each role's proxy, and its remote address as `host:port`. */
  names: Record<Role, string>
  addresses: Record<Role, string>
  probes: Partial<Record<Role, Probe>>
  /** Why the server itself cannot be reached, where it was tried because a remote port is closed. */
  serverGone?: string | undefined
  /** The remote ports could be reached from here before, so that they can be reached from here. */
  everProved: boolean
}

export type Verdict = {
  phase: 'starting' | 'proved' | 'unproved' | 'down'
  problem?: Problem
  /** Why it is starting or unproved, for status. */
  note?: string
}

/** A frpc that has not logged in for so long, and does not say why, is a problem all the same. */
const loginPatience = 10_000
/** Node programs and busy machines need a moment until the admin API listens. */
const adminPatience = 5000

export function judgeTunnel(seen: Seen): Verdict {
  const { admin } = seen
  if (admin.kind === 'silent')
    return seen.age < adminPatience
      ? { phase: 'starting', note: 'frpc is starting' }
      : down('frpc-silent', `the admin API of frpc ${admin.why}`)
  const states = roles.map((role) => admin.proxies.find((one) => one.name === seen.names[role]))
  if (states.every((one) => one === undefined)) return judgeLogin(seen)
  const refused = states.find((one) => one?.status === 'start error')
  if (refused) return judgeRefusal(refused, seen)
  if (!isRunning(seen)) return { phase: seen.everProved ? 'down' : 'starting', note: 'frpc registers its ports' }
  return judgeProbes(seen)
}

export function isRunning({ admin, names }: Pick<Seen, 'admin' | 'names'>): boolean {
  if (admin.kind !== 'status') return false
  return roles.every((role) => admin.proxies.some((one) => one.name === names[role] && one.status === 'running'))
}

function judgeLogin({ age, log, everProved }: Seen): Verdict {
  if (log.loginError !== undefined) {
    const code = judgeLoginError(log.loginError)
    // A server that goes down cuts the login that comes in that moment, just as one of another kind does each time.
    const isCut = code === 'frps-mismatch' && everProved && log.loginErrors === 1
    return down(isCut ? 'frps-unreachable' : code, log.loginError)
  }
  if (!everProved && age < loginPatience) return { phase: 'starting', note: 'frpc logs in' }
  // It may have said them long ago: while it waits for an answer it says nothing.
  const at = log.lastAt === undefined ? '' : ` at ${log.lastAt}`
  return down('frps-unreachable', `frpc is not logged in; its last words${at}: ${log.last ?? 'none'}`)
}

/** Signatures of facts/frp.md 1.4 and 1.9, first match wins. */
const loginErrors: readonly [RegExp, TunnelProblemCode][] = [
  [/token in login doesn't match|authorization (failed|error)|invalid token/i, 'frps-token-refused'],
  [/connection write timeout|i\/o deadline reached/i, 'frps-frozen'],
  [/tls|x509|session shutdown|first record|^EOF$|unexpected EOF|malformed|invalid (protocol|frame)/i, 'frps-mismatch'],
  [/dial |lookup |no such host|i\/o timeout|refused|unreachable|reset by peer|no route/i, 'frps-unreachable'],
]

export function judgeLoginError(cause: string): TunnelProblemCode {
  return loginErrors.find(([form]) => form.test(cause))?.[1] ?? 'frps-login-refused'
}

const refusals: readonly [string, TunnelProblemCode][] = [
  ['port already used', 'tunnel-port-taken'],
  ['port unavailable', 'tunnel-port-bound'],
  ['port not allowed', 'tunnel-port-not-allowed'],
  ['already exists', 'tunnel-name-taken'],
  ['exceed the max_ports_per_client', 'tunnel-ports-exceeded'],
  ['no available port', 'tunnel-ports-exceeded'],
]

function judgeRefusal(refused: ProxyState, seen: Seen): Verdict {
  const code = refusals.find(([text]) => refused.err.includes(text))?.[1] ?? 'tunnel-refused'
  const role = roles.find((one) => seen.names[one] === refused.name) ?? 'node'
  return down(code, `${role} at ${seen.addresses[role]}: ${refused.err}`)
}

function judgeProbes(seen: Seen): Verdict {
  const found = roles.flatMap((role) => {
    const probe = seen.probes[role]
    return probe ? [{ probe, where: `${role} at ${seen.addresses[role]}` }] : []
  })
  const first = <K extends Probe['kind']>(...kinds: K[]) =>
    found.find(({ probe }) => kinds.some((k) => k === probe.kind))
  const why = (one: { probe: Probe; where: string }) =>
    `${one.where} ${one.probe.kind === 'proved' ? '' : one.probe.why}`

  const foreign = first('foreign')
  if (foreign) return down('tunnel-reaches-another-node', why(foreign))
  const empty = first('empty')
  if (empty)
    return seen.log.localError
      ? down('tunnel-listener-down', seen.log.localError)
      : down('tunnel-no-answer', why(empty))
  const silent = first('silent')
  if (silent) return down('frps-frozen', why(silent))
  if (found.length < roles.length) return { phase: 'starting', note: 'frpc runs; the way back is being proved' }
  const closed = first('refused', 'unreachable')
  if (!closed) return { phase: 'proved' }
  const lost = seen.everProved || first('proved')
  // frpc is the last to notice: it says running until its own ping is lost.
  if (lost && seen.serverGone) return down('frps-unreachable', `the frp server ${seen.serverGone}; ${why(closed)}`)
  if (lost) return down('tunnel-port-closed', why(closed))
  return { phase: 'unproved', note: `frpc says running; ${why(closed)}, so it cannot be proved from here` }
}

function down(code: TunnelProblemCode, evidence: string): Verdict {
  return { phase: 'down', problem: toProblem(code, evidence) }
}
