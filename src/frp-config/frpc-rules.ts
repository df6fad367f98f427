// What frpc demands beyond the shape of single keys, and what it would accept and then do wrong.
import type { FrpcConfig, FrpcProxy } from './frpc-schema.ts'

type Rule = (config: FrpcConfig) => string[]

/** Every rule that the configuration breaks, as `key.path: what is wrong`. */
export function judgeRules(config: FrpcConfig): string[] {
  return rules.flatMap((rule) => rule(config))
}

const rules: Rule[] = [
  noTemplates,
  oneToken,
  oidcComplete,
  heartbeat,
  uniqueNames,
  uniquePorts,
  startKnown,
  healthChecks,
]

/** frpc renders its file as a Go template before it parses it: `{{` in a token would be executed. */
function noTemplates(config: FrpcConfig): string[] {
  return textsOf(config, '')
    .filter(({ text }) => text.includes('{{'))
    .map(({ path }) => `${path}: holds "{{", which frpc would execute as a template`)
}

function textsOf(value: unknown, path: string): { path: string; text: string }[] {
  if (typeof value === 'string') return [{ path, text: value }]
  if (Array.isArray(value)) return value.flatMap((one, index) => textsOf(one, `${path}[${index}]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, one]) => {
    const here = path ? `${path}.${key}` : key
    return [{ path: here, text: key }, ...textsOf(one, here)]
  })
}

function oneToken({ auth }: FrpcConfig): string[] {
  return auth?.token !== undefined && auth.tokenSource !== undefined
    ? ['auth: token and tokenSource are both set; write one']
    : []
}

function oidcComplete({ auth }: FrpcConfig): string[] {
  return auth?.method === 'oidc' && !auth.oidc ? ['auth.oidc: missing, while auth.method is oidc'] : []
}

/** frp's defaults: off with tcpMux, 30 s and 90 s without. */
function heartbeat({ transport }: FrpcConfig): string[] {
  const mux = transport?.tcpMux ?? true
  const interval = transport?.heartbeatInterval ?? (mux ? -1 : 30)
  const timeout = transport?.heartbeatTimeout ?? (mux ? -1 : 90)
  if (interval > 0 && timeout > 0 && timeout < interval)
    return [`transport.heartbeatTimeout: ${timeout} s is less than heartbeatInterval ${interval} s`]
  return []
}

function uniqueNames({ proxies = [] }: FrpcConfig): string[] {
  return repeated(proxies, (proxy) => proxy.name).map(
    ({ index, first, key }) => `proxies[${index}].name: "${key}" is the name of proxies[${first}] already`,
  )
}

/** frps would refuse the second one with `port already used`, for ever. A load balancing group may share. */
function uniquePorts({ proxies = [] }: FrpcConfig): string[] {
  const key = (proxy: FrpcProxy) =>
    proxy.remotePort === 0 || proxy.loadBalancer || proxy.enabled === false
      ? undefined
      : `${proxy.type} ${proxy.remotePort}`
  return repeated(proxies, key).map(
    ({ index, first, key: port }) =>
      `proxies[${index}].remotePort: ${port} is the remote port of proxies[${first}] already`,
  )
}

function startKnown({ start = [], includes = [], proxies = [] }: FrpcConfig): string[] {
  if (includes.length > 0) return []
  return start.flatMap((name, index) =>
    proxies.some((proxy) => proxy.name === name) ? [] : [`start[${index}]: no proxy is named "${name}"`],
  )
}

function healthChecks({ proxies = [] }: FrpcConfig): string[] {
  return proxies.flatMap(({ healthCheck, type }, index) => {
    if (healthCheck?.type === 'http' && !healthCheck.path)
      return [`proxies[${index}].healthCheck.path: missing, while its type is http`]
    return healthCheck && type === 'udp' ? [`proxies[${index}].healthCheck: a udp proxy has none`] : []
  })
}

function repeated<T>(list: readonly T[], keyOf: (one: T) => string | undefined) {
  const seen = new Map<string, number>()
  return list.flatMap((one, index) => {
    const key = keyOf(one)
    if (key === undefined) return []
    const first = seen.get(key)
    if (first !== undefined) return [{ index, first, key }]
    seen.set(key, index)
    return []
  })
}
