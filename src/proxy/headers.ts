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

/** Flat name, value, name, value… for the engine. `expect` is answered by us. */
export function toEngineHeaders(raw: readonly string[]): string[] {
  const named = findNamed(raw)
  const out: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || lower === 'expect' || named?.has(lower)) continue
    out.push(name, raw[at + 1] ?? '')
  }
  return out
}

export type ClientHead = {
  /** Flat, ready for writeHead. */
  headers: string[]
  hasLength: boolean
}

/** @param raw flat, as undici hands it out: bytes */
export function toClientHead(raw: readonly Buffer[]): ClientHead {
  const texts = raw.map((bytes) => bytes.toString('latin1'))
  const named = findNamed(texts)
  const headers: string[] = []
  let hasLength = false
  for (let at = 0; at + 1 < texts.length; at += 2) {
    const name = texts[at] ?? ''
    const lower = name.toLowerCase()
    if (hopByHop.has(lower) || named?.has(lower)) continue
    if (lower === 'content-length') hasLength = true
    headers.push(name, texts[at + 1] ?? '')
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
