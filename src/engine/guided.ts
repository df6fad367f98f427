// Guided decoding in the spelling of an engine's vLLM. Pure.
import type { GuidedDecoding } from '../api/inference.ts'
import { isAtLeast } from './profile.ts'

export function isGuided(guided: GuidedDecoding | undefined): guided is GuidedDecoding {
  return guided !== undefined && pickConstraint(guided) !== undefined
}

/**
 * Fields of a request's body. vLLM 0.12 dropped the `guided_…` fields, and what it does not know it ignores: the wrong spelling
 * answers 200 and unconstrained text. `structured_outputs` came with 0.11 (docs.vllm.ai, features/structured_outputs).
 * @param version of vLLM
 */
export function renderGuided(guided: GuidedDecoding | undefined, version: string): object {
  const found = guided && pickConstraint(guided)
  if (!found) return {}
  const [kind, value] = found
  return isAtLeast(version, '0.11') ? { structured_outputs: { [kind]: value } } : { [`guided_${kind}`]: value }
}

/** A choice wins over the others (contracts/control-plane.md A1.8). */
function pickConstraint({ choice, json_schema, regex, grammar }: GuidedDecoding) {
  if (choice.length > 0) return ['choice', choice] as const
  if (json_schema !== undefined) return ['json', json_schema] as const
  if (regex !== undefined) return ['regex', regex] as const
  return grammar === undefined ? undefined : (['grammar', grammar] as const)
}
