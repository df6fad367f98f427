// Whom a browser may be made to call us for: a page of another site reaches a loopback port by a name that it points there (DNS
// rebinding), and can send requests without reading the answers. Pure.
import { isLoopback } from '../config/judge-control.ts'

export type HostRules = {
  /** Where the listener binds. */
  bind: string
  /** CONTROL_ALLOWED_HOSTS */
  allowed: readonly string[]
}

export type CallHeaders = { host?: string | undefined; origin?: string | undefined }

/** @returns what is wrong, as the answer's status and text; undefined: nothing */
export function judgeCall(
  { host, origin }: CallHeaders,
  rules: HostRules,
): { status: number; text: string } | undefined {
  if (host !== undefined && !isOurs(host, rules)) {
    const text = `this listener is not called ${printable(host)}: call it localhost, or name that host in CONTROL_ALLOWED_HOSTS`
    return { status: 421, text }
  }
  // There is no CORS here: pages of this listener's own origin are the only ones.
  if (origin === undefined || sameHost(origin, host) || isAllowed(toHost(hostOf(origin)), rules.allowed))
    return undefined
  return { status: 403, text: `pages of ${printable(origin)} may not call this listener` }
}

function isOurs(header: string, { bind, allowed }: HostRules): boolean {
  // With a public address every name may lead here; then only those count that somebody wrote down.
  if (!isLoopback(bind) && allowed.length === 0) return true
  const host = toHost(header)
  return host === 'localhost' || isLoopback(host) || isAllowed(host, allowed)
}

const isAllowed = (host: string, allowed: readonly string[]) => allowed.some((one) => one.toLowerCase() === host)

function sameHost(origin: string, host: string | undefined): boolean {
  return host !== undefined && hostOf(origin).toLowerCase() === host.toLowerCase()
}

/** `null`, which sandboxed pages send, has none. */
const hostOf = (origin: string) => /^https?:\/\/([^/]+)$/i.exec(origin)?.[1] ?? ''

/** `[::1]:8000` → `::1`; a trailing dot is the same name. */
function toHost(header: string): string {
  const found = /^\[([^\]]*)\](?::\d*)?$/.exec(header)?.[1] ?? header.replace(/:\d*$/, '')
  return found.toLowerCase().replace(/\.$/, '')
}

const printable = (text: string) => text.replaceAll(/[^\x21-\x7e]/g, '?').slice(0, 200)
