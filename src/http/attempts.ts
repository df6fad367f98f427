// Who guessed keys, and how often: a bucket of failures per address that leaks. Bounded: of too many addresses the one that has
// been quiet the longest is forgotten.
import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Clock } from '../core/clock.ts'

export interface Attempts {
  /** One wrong key from there; the same one again is a client with an old key, not a guess. */
  note(address: string, key: string): void
  /** s until this address may try again; 0: now. */
  waitFor(address: string): number
}

/** So many at once are mistakes of people and tests of clients; a guesser needs billions. */
const burst = 30
/** ms per failure that is forgiven: 30 guesses a minute. */
const leak = 2000
const mostAddresses = 4096

/** Wrong keys that are told from new ones: as many clients with old keys behind one address. */
const mostKnown = 8

/** `known`: digests, the last ones used last. */
type Bucket = { failures: number; at: number; known: readonly string[] }

export function createAttempts(clock: Clock): Attempts {
  const buckets = new Map<string, Bucket>()
  const levelOf = (bucket: Bucket | undefined) =>
    bucket ? Math.max(0, bucket.failures - (clock.now() - bucket.at) / leak) : 0
  return {
    note(address, key) {
      const place = toPlace(address)
      const bucket = buckets.get(place)
      const print = createHash('sha256').update(key).digest('base64')
      const others = bucket?.known.filter((one) => one !== print) ?? []
      const isNew = others.length === (bucket?.known.length ?? 0)
      const failures = Math.min(burst, levelOf(bucket) + (isNew ? 1 : 0))
      // Set anew, so that the order of the map is that of the last failures.
      buckets.delete(place)
      buckets.set(place, { failures, at: clock.now(), known: [...others, print].slice(-mostKnown) })
      if (buckets.size <= mostAddresses) return
      for (const oldest of buckets.keys()) return void buckets.delete(oldest)
    },
    waitFor(address) {
      const over = levelOf(buckets.get(toPlace(address))) - (burst - 1)
      return over > 0 ? Math.ceil((over * leak) / 1000) : 0
    },
  }
}

/** One customer of IPv6 has a /64; an IPv4 address has two spellings. Pure. */
export function toPlace(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped) return mapped
  const bare = address.split('%')[0] ?? address
  if (!isIPv6(bare)) return address
  const [head = '', tail] = bare.toLowerCase().split('::')
  const [before, after] = [head, tail ?? ''].map((half) => half.split(':').filter(Boolean))
  const groups =
    tail === undefined
      ? (before ?? [])
      : [
          ...(before ?? []),
          ...Array<string>(8 - (before?.length ?? 0) - (after?.length ?? 0)).fill('0'),
          ...(after ?? []),
        ]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
