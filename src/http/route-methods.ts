// Which methods a path has, so that a wrong method is 405 with `allow` and not 404, as FastAPI does it.

export type RouteMethods = { add(pattern: string, methods: readonly string[]): void; of(path: string): string[] }

export function createRouteMethods(): RouteMethods {
  const routes: { matches: RegExp; methods: readonly string[] }[] = []
  return {
    add: (pattern, methods) => void routes.push({ matches: toRegExp(pattern), methods }),
    of: (path) => [...new Set(routes.filter(({ matches }) => matches.test(path)).flatMap(({ methods }) => methods))],
  }
}

/** `/a/:id/*` as find-my-way reads it. */
function toRegExp(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll(/:[A-Za-z_]\w*/g, '[^/]+')
    .replaceAll('*', '.*')
  return new RegExp(`^${source}/?$`)
}
