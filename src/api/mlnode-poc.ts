// PoC v2 of the MLNode API (contracts/node-api.md 1.6) and of the engines' own routes, which the PoC AMI showed directly.
import { z } from 'zod'
import { laxBoolean, laxInt } from './lax.ts'

/** Unknown keys are refused. decode, max_tokens and scheme come from the newest clients; the engine judges them. */
export const pocParams = z.strictObject({
  model: z.string().min(1),
  seq_len: laxInt(z.int().positive()),
  k_dim: laxInt(z.int().positive()).default(12),
  decode: z.unknown().optional(),
  max_tokens: laxInt(z.int().min(0)).nullish(),
  scheme: z.string().nullish(),
})

const common = {
  block_hash: z.string(),
  block_height: laxInt(),
  public_key: z.string(),
  node_id: laxInt(),
  node_count: laxInt(z.int().positive()),
  params: pocParams,
  /** Absent: the engine's own default counts; the old node always sent 32 and made that default useless. */
  batch_size: laxInt(z.int().min(0)).nullish(),
  /** A Go client writes no address as an empty text. */
  url: z.preprocess((url) => (url === '' ? null : url), z.url({ protocol: /^https?$/ }).nullish()),
  poc_stronger_rng: laxBoolean().default(false),
}

export const pocInit = z.object(common)
export type PocInit = z.output<typeof pocInit>

/** As the PoC AMI takes it: the caller already has one group of several, which we split further. */
export const pocGroupInit = z
  .object({ ...common, group_id: laxInt(z.int().min(0)).default(0), n_groups: laxInt(z.int().positive()).default(1) })
  .refine(({ group_id, n_groups }) => group_id < n_groups, {
    path: ['group_id'],
    message: 'must be less than n_groups',
  })

export const pocGenerate = z.object({
  ...common,
  nonces: z.array(laxInt(z.int().min(0))),
  wait: laxBoolean().default(false),
  validation: z.object({ artifacts: z.array(z.looseObject({ nonce: laxInt(), vector_b64: z.string() })) }).nullish(),
  stat_test: z.looseObject({}).nullish(),
  enforced_k_steps: z.unknown().optional(),
  debug: z.unknown().optional(),
  per_nonce_reflection: z.unknown().optional(),
})
export type PocGenerate = z.output<typeof pocGenerate>

export type PocError = { port: number; error: string }

/** backends: engines that generate now; n_groups: engines planned. A late engine takes its reserved group when it comes. */
export type PocInitAnswer = {
  status: 'OK'
  backends: number
  n_groups: number
  results: { port: number; status: 'OK' }[]
  errors: PocError[] | null
}

export type PocStopAnswer =
  | { status: 'OK'; results: { port: number; status: 'stopped' }[]; errors: PocError[] | null }
  | { status: 'OK'; message: string }

export type PocBackendStatus = { port: number; status: string } & Record<string, unknown>

export type PocStatusAnswer = {
  status: 'NO_BACKENDS' | 'GENERATING' | 'VALIDATING' | 'IDLE' | 'MIXED'
  backends: PocBackendStatus[]
}
