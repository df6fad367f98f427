// A PoC round and its groups (D7). Pure. The groups are reserved by slot when the round begins and never move, so that the
// union of the engines' nonces is exactly what was asked for, without a nonce twice, however late an engine comes.
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { type PocInit, pocInit } from '../api/mlnode-poc.ts'

/** The share of the whole work that the caller gave us: group `group` of `of`. */
export type Share = { group: number; of: number }

export const wholeWork: Share = { group: 0, of: 1 }

export const roundSchema = z.object({
  id: z.string(),
  /** Kernel boot of the machine: a round does not survive a reboot. */
  bootId: z.string(),
  startedAt: z.string(),
  /** The served name of the planned model when the round began. */
  model: z.string(),
  /** k of D7: planned engines. */
  engines: z.int().positive(),
  share: z.object({ group: z.int(), of: z.int() }),
  request: pocInit,
})
export type Round = z.output<typeof roundSchema>

/** What an engine is told. Undefined: the slot has no group in this round. */
export function groupOf(round: Round, slot: number): { group_id: number; n_groups: number } | undefined {
  if (slot >= round.engines) return undefined
  const { group, of } = round.share
  return { group_id: group + of * slot, n_groups: of * round.engines }
}

/** The very same work in the very same split: repeating such an init changes nothing. */
export function isSameRound(a: Round, b: Round): boolean {
  const facts = ({ request, share, engines, model }: Round) => ({ request, share, engines, model })
  return isDeepStrictEqual(facts(a), facts(b))
}

type Identity = Pick<PocInit, 'block_hash' | 'block_height' | 'public_key' | 'node_id' | 'node_count'>

/**
 * Whether work that is going on stands in the way of `next`. same block for somebody else: it does, first come first served,
 * as the engine itself says with 409. Another block: it is over, since the API nodes follow the chain.
 */
export function competes(going: Identity, next: Identity): boolean {
  const sameBlock = going.block_hash === next.block_hash && going.block_height === next.block_height
  return sameBlock && !isSameOwner(going, next)
}

/** A request of before: the chain is at a later block already. */
export const isStale = (going: Identity, next: Identity): boolean => next.block_height < going.block_height

function isSameOwner(a: Identity, b: Identity): boolean {
  return a.public_key === b.public_key && a.node_id === b.node_id && a.node_count === b.node_count
}

/** `config` of the engine's status while it generates. */
export const engineRound = z.looseObject({
  block_hash: z.string(),
  block_height: z.int(),
  public_key: z.string(),
  node_id: z.int(),
  node_count: z.int(),
  group_id: z.int().default(0),
  n_groups: z.int().default(1),
  seq_len: z.int().optional(),
  k_dim: z.int().optional(),
})
export type EngineRound = z.output<typeof engineRound>

/** Whether what an engine says it does is what this round wants of that slot. */
export function isGroupOf(config: EngineRound, round: Round, slot: number): boolean {
  const group = groupOf(round, slot)
  const { request } = round
  return (
    group !== undefined &&
    config.group_id === group.group_id &&
    config.n_groups === group.n_groups &&
    config.block_hash === request.block_hash &&
    config.block_height === request.block_height &&
    isSameOwner(config, request) &&
    (config.seq_len ?? request.params.seq_len) === request.params.seq_len &&
    (config.k_dim ?? request.params.k_dim) === request.params.k_dim
  )
}
