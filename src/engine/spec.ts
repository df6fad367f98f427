// What an engine was launched with, as its record keeps it for the next daemon.
import { z } from 'zod'
import { profileNames } from '../config/engine.ts'
import type { EngineSpec } from './life.ts'

const schema = z.object({
  kind: z.literal('engine'),
  model: z.string(),
  modelPath: z.string(),
  slot: z.number().int().nonnegative(),
  gpus: z.array(z.number().int().nonnegative()),
  port: z.number().int().min(1).max(65535),
  profile: z.enum(profileNames),
  argv: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  python: z.string(),
  hasPoc: z.boolean(),
  args: z.array(z.string()),
  owner: z.string(),
  secrets: z.string().optional(),
})

/** Names that a record leaves out. */
export const isUnrecorded = (name: string): boolean => /TOKEN|KEY|SECRET|PASSW|proxy/i.test(name)

/** JSON-safe, without the secrets of the environment: nobody needs them again, and `spec.secrets` tells whether they changed. */
export function toMeta(spec: EngineSpec): unknown {
  const env = Object.fromEntries(Object.entries(spec.env).filter(([name]) => !isUnrecorded(name)))
  return { kind: 'engine', ...spec, env }
}

/** Undefined where it is not the record of an engine. */
export function readSpec(meta: unknown): EngineSpec | undefined {
  const parsed = schema.safeParse(meta)
  if (!parsed.success) return undefined
  const { kind: _kind, ...spec } = parsed.data
  return spec
}
