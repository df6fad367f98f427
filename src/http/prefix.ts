// API nodes put the chain's version in front of every path (contracts/node-api.md 1.11): `/v3.0.8/api/v1/state`.

const chainVersion = /^\/v\d+(?:\.\d+)+(?:[-+][0-9A-Za-z.+-]+)?(?=[/?]|$)/

/** Without one leading segment that looks like a chain version (never `v1`, which has no dot); always starts with `/`. */
export function stripVersionPrefix(url: string): string {
  // Almost every request has none, and this runs for each.
  if (url.charCodeAt(1) !== 118 /* v */) return url
  const found = chainVersion.exec(url)
  if (!found) return url
  const rest = url.slice(found[0].length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** The target of a request as a path: an absolute form (`GET http://host/path`) loses its origin. */
export function toPath(target: string): string {
  if (target.startsWith('/')) return target
  const found = /^https?:\/\/[^/?#]*/i.exec(target)
  const rest = found ? target.slice(found[0].length) : target
  return rest.startsWith('/') ? rest : `/${rest}`
}
