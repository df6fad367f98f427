// Requests of the API node, spelled for the engine's generation (contracts/poc-engine.md 2.4). Pure.
import type { PocGenerate, PocInit } from '../api/mlnode-poc.ts'
import type { ProfileName } from '../config/engine.ts'

export type Spelling = { profile: ProfileName | undefined; url: string | undefined }

/** Why this generation cannot do what is asked; undefined where it can. */
export function judgeRequest(request: PocInit, profile: ProfileName | undefined): string | undefined {
  // vLLM 0.9.1 drops the field without a word and computes other vectors than the network expects.
  if (request.poc_stronger_rng && profile === 'v0-overlay')
    return 'poc_stronger_rng is not known to the PoC code of this vLLM (0.9.1); its vectors would be wrong'
  return undefined
}

export function toEngineInit(
  request: PocInit,
  group: { group_id: number; n_groups: number },
  spelling: Spelling,
): Record<string, unknown> {
  return { ...toCommon(request, spelling), ...group }
}

export function toEngineGenerate(request: PocGenerate, spelling: Spelling): Record<string, unknown> {
  const { nonces, wait, validation, stat_test, enforced_k_steps, debug, per_nonce_reflection } = request
  const extras = { validation, stat_test, enforced_k_steps, debug, per_nonce_reflection }
  const given = Object.entries(extras).filter(([, value]) => value !== undefined && value !== null)
  return { ...toCommon(request, spelling), nonces, wait, ...Object.fromEntries(given) }
}

function toCommon(request: PocInit, { profile, url }: Spelling): Record<string, unknown> {
  const { block_hash, block_height, public_key, node_id, node_count, batch_size } = request
  return {
    block_hash,
    block_height,
    public_key,
    node_id,
    node_count,
    params: toParams(request.params, profile),
    ...(batch_size !== undefined && batch_size !== null && { batch_size }),
    ...(url !== undefined && { url }),
    ...(profile !== 'v0-overlay' && { poc_stronger_rng: request.poc_stronger_rng }),
  }
}

/**
 * The overlays refuse unknown params, so what the newest clients add is left out where it says what they do anyway
 * (no decode, no tokens, prefill); anything else goes through, for the engine to refuse with its own words.
 */
function toParams(params: PocInit['params'], profile: ProfileName | undefined): Record<string, unknown> {
  const { model, seq_len, k_dim, ...newest } = params
  const neutral = (name: string, value: unknown) =>
    value === undefined ||
    value === null ||
    (profile !== 'plugin' && (value === false || value === 0 || (name === 'scheme' && value === 'prefill')))
  const given = Object.entries(newest).filter(([name, value]) => !neutral(name, value))
  return { model, seq_len, k_dim, ...Object.fromEntries(given) }
}
