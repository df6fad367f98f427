// Bodies of the PoC routes, checked as pydantic does: a list of what is wrong, or the ask.
import type { Artifact } from './engine-callbacks.ts'
import type { StatTest } from './engine-validation.ts'

export type PocAsk = {
  blockHash: string
  blockHeight: number
  publicKey: string
  nodeId: number
  nodeCount: number
  params: { model: string; seq_len: number; k_dim: number }
  batchSize: number
  url: string
}
export type InitAsk = PocAsk & { groupId: number; nGroups: number }
export type GenerateAsk = PocAsk & {
  nonces: number[]
  wait: boolean
  validation: Artifact[] | undefined
  stat: StatTest
}

export type Issue = { type: string; loc: (string | number)[]; msg: string; input: unknown }
type Body = Record<string, unknown>

const knownParams = ['model', 'seq_len', 'k_dim', 'scheme', 'max_tokens', 'decode']

export function parseInit(body: Body): InitAsk | Issue[] {
  const base = parseBase(body)
  if (Array.isArray(base)) return base
  return { ...base, groupId: toInt(body['group_id'], 0), nGroups: toInt(body['n_groups'], 1) }
}

export function parseGenerate(body: Body): GenerateAsk | Issue[] {
  const base = parseBase(body)
  if (Array.isArray(base)) return base
  const nonces = body['nonces']
  if (!Array.isArray(nonces)) return [missing('nonces', body)]
  const validation = body['validation'] as { artifacts?: Artifact[] } | null | undefined
  const stat = { dist_threshold: 0.02, p_mismatch: 0.001, fraud_threshold: 0.01, ...(body['stat_test'] as object) }
  return { ...base, nonces: nonces.map(Number), wait: body['wait'] === true, validation: validation?.artifacts, stat }
}

function parseBase(body: Body): PocAsk | Issue[] {
  const issues = ['block_hash', 'block_height', 'public_key', 'node_id', 'node_count', 'params']
    .filter((name) => body[name] === undefined)
    .map((name) => missing(name, body))
  const params = body['params']
  if (typeof params === 'object' && params !== null) {
    for (const name of ['model', 'seq_len']) {
      if ((params as Body)[name] === undefined) issues.push({ ...missing(name, params), loc: ['body', 'params', name] })
    }
    for (const [name, input] of Object.entries(params)) {
      if (knownParams.includes(name)) continue
      issues.push({
        type: 'extra_forbidden',
        loc: ['body', 'params', name],
        msg: 'Extra inputs are not permitted',
        input,
      })
    }
  }
  for (const name of ['block_height', 'node_id', 'node_count', 'batch_size', 'group_id', 'n_groups']) {
    const input = body[name]
    if (input === undefined || Number.isInteger(input)) continue
    issues.push({ type: 'int_type', loc: ['body', name], msg: 'Input should be a valid integer', input })
  }
  if (issues.length > 0) return issues
  const { model, seq_len, k_dim } = params as Body
  return {
    blockHash: String(body['block_hash']),
    blockHeight: toInt(body['block_height'], 0),
    publicKey: String(body['public_key']),
    nodeId: toInt(body['node_id'], 0),
    nodeCount: toInt(body['node_count'], 1),
    params: { model: String(model), seq_len: toInt(seq_len, 0), k_dim: toInt(k_dim, 12) },
    batchSize: toInt(body['batch_size'], 32),
    url: typeof body['url'] === 'string' ? body['url'] : '',
  }
}

function missing(name: string, input: unknown): Issue {
  return { type: 'missing', loc: ['body', name], msg: 'Field required', input }
}

function toInt(value: unknown, absent: number): number {
  return typeof value === 'number' ? Math.trunc(value) : absent
}
