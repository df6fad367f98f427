// What a proxy passes on: everything but what belongs to one hop (RFC 9110 7.6.1). Pure.

const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

export type EngineHead = {
  /** Header lines, each with its line end. */
  lines: string
  hasHost: boolean
  hasLength: boolean
}

/** `expect` is answered by us. `content-length` stays; whoever sends another body than the client's leaves it out. */
export function toEngineHead(raw: readonly string[], dropsLength: boolean): EngineHead {
  const named = findNamed(raw)
  const head = { lines: '', hasHost: false, hasLength: false }
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || lower === 'expect' || named?.has(lower)) continue
    if (lower === 'content-length') {
      if (dropsLength) continue
      head.hasLength = true
    } else if (lower === 'host') head.hasHost = true
    head.lines += `${name}: ${raw[at + 1] ?? ''}\r\n`
  }
  return head
}

export type ClientHead = {
  /** Flat, ready for writeHead. */
  headers: string[]
  hasLength: boolean
}

/** @param raw flat, as the engine sent it */
export function toClientHead(raw: readonly string[]): ClientHead {
  const named = findNamed(raw)
  const headers: string[] = []
  let hasLength = false
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || named?.has(lower)) continue
    if (lower === 'content-length') hasLength = true
    headers.push(name, raw[at + 1] ?? '')
  }
  return { headers, hasLength }
}

/** The headers that `Connection` names belong to this hop as well. Undefined in the usual case of none. */
function findNamed(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue
    const value = (raw[at + 1] ?? '').toLowerCase()
    if (value === 'keep-alive' || value === 'close') continue
    named ??= new Set()
    for (const one of value.split(',')) named.add(one.trim())
  }
  // Never lose what frames or routes the message, whatever a client writes there.
  named?.delete('content-length')
  named?.delete('host')
  return named
}
