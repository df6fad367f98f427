// Whether the secrets of an engine's environment are still the same, without a word of them on disk: a digest that only this
// machine's key can make. The key is a file of the state folder, 0600; without it nothing can be compared, and engines stay.
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { readJson, writeJson } from '../core/json-file.ts'

const keySchema = z.object({ version: z.literal(1), key: z.string().regex(/^[0-9a-f]{64}$/) })

/** Undefined where there is no key to be had now (a state folder that cannot be written). */
export type SecretDigest = (secrets: Readonly<Record<string, string>>) => Promise<string | undefined>

export function createSecretDigest(stateDir: string): SecretDigest {
  const held: { key?: string | undefined } = {}
  return async (secrets) => {
    held.key ??= await bringKey(join(stateDir, 'digest-key.json')).catch(() => undefined)
    return held.key === undefined ? undefined : renderDigest(secrets, held.key)
  }
}

/** Those of different keys, or of none, tell nothing: that is no reason to unload a model. */
export function areSecretsSame(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined || toKeyName(one) !== toKeyName(other)) return true
  return one === other
}

const toKeyName = (digest: string): string => digest.split(':')[0] ?? ''

function renderDigest(secrets: Readonly<Record<string, string>>, key: string): string {
  const entries = Object.entries(secrets).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const name = createHash('sha256').update(key).digest('hex').slice(0, 8)
  return `${name}:${createHmac('sha256', key).update(JSON.stringify(entries)).digest('hex')}`
}

/** @throws where it can be neither read nor written */
async function bringKey(path: string): Promise<string> {
  const found = await readJson(path, keySchema)
  if (found.kind === 'value') return found.value.key
  if (found.kind === 'bad' && found.error !== undefined) throw new Error(found.why, { cause: found.error })
  const key = randomBytes(32).toString('hex')
  await writeJson(path, { version: 1, key })
  return key
}
