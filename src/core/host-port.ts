// host:port as operators write it, IPv6 in brackets.

export type HostPort = { host: string; port: number }

/** `[::1]:9200`, `10.0.0.1:9200`, `api.example:9200` → parts (IPv6 without brackets); a text says what is wrong. */
export function parseHostPort(text: string): HostPort | string {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:[\]/@]+)):(\d{1,5})$/.exec(text.trim())
  if (!match) return `"${text}" is not host:port; write api.example:9200, 10.0.0.1:9200 or [fd00::1]:9200`
  const port = Number(match[3])
  if (port < 1 || port > 65535) return `port ${match[3]} of "${text}" is outside 1..65535`
  const host = match[1] ?? match[2] ?? ''
  if (match[1] && !host.includes(':')) return `"${host}" in brackets is not an IPv6 address`
  return { host, port }
}

/** For URLs and messages: IPv6 gets its brackets back. */
export function renderHostPort({ host, port }: HostPort): string {
  return `${renderHost(host)}:${port}`
}

export function renderHost(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
}
