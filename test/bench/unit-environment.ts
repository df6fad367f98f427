// What gonka-node.service sets for Node itself, so that the bench measures what is shipped.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** With a compile cache of this checkout. */
export function unitEnvironment(): Record<string, string> {
  const unit = readFileSync(join(root, 'systemd/gonka-node.service'), 'utf8')
  const pairs = unit.split('\n').flatMap((line) => /^Environment=(.*)$/.exec(line)?.[1]?.split(' ') ?? [])
  const set = Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )
  return { ...set, NODE_COMPILE_CACHE: join(root, '.cache/node') }
}
