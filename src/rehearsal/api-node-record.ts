// A node as the API node's broker keeps it, and the broker's own words when it refuses one (contracts/api-nodes.md 3.2-3.4). Pure.

export type NodeRecord = {
  id: string
  host: string
  inference_port: number
  poc_port: number
  inference_segment: string
  poc_segment: string
  base_url: string
  auth_token: string
  max_concurrent: number
  models: Record<string, { args: string[] }>
  hardware: { type: string; count: number }[]
  node_num: number
}

/** Which models the chain knows, with the arguments that it sets. Undefined: every model is known and nothing is set. */
export type Governance = Readonly<Record<string, readonly string[]>> | undefined

/** What Go's decoder makes of a body: absent keys are zero values, unknown keys vanish, a wrong type is an error text. */
export function parseNode(body: unknown): NodeRecord | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return 'json: cannot unmarshal into Go value of type InferenceNodeConfig'
  const raw = body as Record<string, unknown>
  const wrong = [
    ...['id', 'host', 'inference_segment', 'poc_segment', 'base_url', 'auth_token'].filter((key) =>
      isOdd(raw[key], 'string'),
    ),
    ...['inference_port', 'poc_port', 'max_concurrent'].filter((key) => isOdd(raw[key], 'number')),
    ...['models'].filter((key) => isOdd(raw[key], 'object')),
  ][0]
  if (wrong) return `json: cannot unmarshal ${typeof raw[wrong]} into Go struct field InferenceNodeConfig.${wrong}`
  const text = (key: string) => (raw[key] as string | undefined) ?? ''
  const number = (key: string) => (raw[key] as number | undefined) ?? 0
  return {
    id: text('id'),
    host: text('host'),
    inference_port: number('inference_port'),
    poc_port: number('poc_port'),
    inference_segment: text('inference_segment'),
    poc_segment: text('poc_segment'),
    base_url: text('base_url'),
    auth_token: text('auth_token'),
    max_concurrent: number('max_concurrent'),
    models: toModels((raw['models'] ?? {}) as Record<string, { args?: string[] | null } | null>),
    hardware: Array.isArray(raw['hardware']) ? (raw['hardware'] as NodeRecord['hardware']) : [],
    node_num: 0,
  }
}

/** Everything that is wrong with a node, in the broker's words; empty when it may be registered. */
export function judgeNode(node: NodeRecord, others: readonly NodeRecord[], reservedArgs: readonly string[]): string[] {
  return [...judgeBasics(node), ...judgeArgs(node, reservedArgs), ...judgeDuplicates(node, others)]
}

function judgeBasics(node: NodeRecord): string[] {
  const wrong: string[] = []
  const ranged = (port: number) => port >= 1 && port <= 65535
  if (node.id.trim() === '') wrong.push('node id is required and cannot be empty')
  if (node.base_url) {
    if (node.host || node.inference_port || node.poc_port)
      wrong.push(
        'node configuration error: cannot specify both (Host+Ports) and baseURL. Use either Host+InferencePort+PoCPort OR baseURL',
      )
    if (!/^https?:\/\//.test(node.base_url)) wrong.push('base_url must be a valid http or https url')
  } else {
    if (node.host.trim() === '') wrong.push('host is required and cannot be empty')
    if (!ranged(node.inference_port))
      wrong.push(`inference_port must be between 1 and 65535, got ${node.inference_port}`)
    if (!ranged(node.poc_port)) wrong.push(`poc_port must be between 1 and 65535, got ${node.poc_port}`)
  }
  if (node.max_concurrent <= 0) wrong.push(`max_concurrent must be greater than 0, got ${node.max_concurrent}`)
  if (Object.keys(node.models).length === 0) wrong.push('at least one model must be specified')
  return wrong
}

function judgeArgs(node: NodeRecord, reserved: readonly string[]): string[] {
  return Object.entries(node.models).flatMap(([model, { args }]) =>
    args
      .filter((one) => reserved.includes(one.split('=')[0] ?? ''))
      .map((one) => `model ${model}: argument ${one.split('=')[0]} is reserved and cannot be set`),
  )
}

function judgeDuplicates(node: NodeRecord, others: readonly NodeRecord[]): string[] {
  if (node.base_url) return []
  const sameInference = others.find((one) => one.host === node.host && one.inference_port === node.inference_port)
  const samePoc = others.find((one) => one.host === node.host && one.poc_port === node.poc_port)
  return [
    ...(sameInference
      ? [
          `duplicate inference host+port combination: ${node.host}:${node.inference_port} (already used by node '${sameInference.id}')`,
        ]
      : []),
    ...(samePoc
      ? [`duplicate PoC host+port combination: ${node.host}:${node.poc_port} (already used by node '${samePoc.id}')`]
      : []),
  ]
}

/** Chain arguments first; the node's own only for keys that the chain does not set (contracts/api-nodes.md 3.6). */
export function mergeArgs(chain: readonly string[], local: readonly string[]): string[] {
  const set = new Set(groupArgs(chain).map(([key]) => key))
  return [...chain, ...groupArgs(local).flatMap(([key, tokens]) => (set.has(key) ? [] : tokens))]
}

function groupArgs(args: readonly string[]): [key: string, tokens: string[]][] {
  const groups: [string, string[]][] = []
  for (const token of args) {
    if (token.startsWith('-') || groups.length === 0) groups.push([token.split('=')[0] ?? token, [token]])
    else groups.at(-1)?.[1].push(token)
  }
  return groups
}

function toModels(raw: Record<string, { args?: string[] | null } | null>): NodeRecord['models'] {
  return Object.fromEntries(Object.entries(raw).map(([model, config]) => [model, { args: config?.args ?? [] }]))
}

function isOdd(value: unknown, wanted: 'string' | 'number' | 'object'): boolean {
  return value !== undefined && value !== null && typeof value !== wanted
}
