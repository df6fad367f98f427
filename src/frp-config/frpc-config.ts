// The entry point `gonka-node/frp-config`: a typed frpc configuration, checked with every problem at once, rendered to TOML.
// What passes checkFrpc is accepted by `frpc verify`, and means to frpc what it says here. Pure: reads and writes nothing.
import { parse, stringify } from 'smol-toml'
import { judgeRules } from './frpc-rules.ts'
import { type FrpcConfig, type FrpcProxy, frpcSchema } from './frpc-schema.ts'

export { judgeVersion } from './frpc-version.ts'
export type { FrpcConfig, FrpcProxy }

/** `problems` are `key.path: what is wrong`, never empty, and never hold a token or a password. */
export type Checked = { ok: true; config: FrpcConfig } | { ok: false; problems: string[] }

/** Checks shape, ranges and the rules between keys. */
export function checkFrpc(value: unknown): Checked {
  const shaped = frpcSchema.safeParse(value)
  if (!shaped.success) {
    const problems = shaped.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => `${at([...issue.path, key])}: unknown key`)
        : [`${at(issue.path)}: ${lowerFirst(issue.message)}`],
    )
    return { ok: false, problems }
  }
  const problems = judgeRules(shaped.data)
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config: shaped.data }
}

/**
 * The TOML text of a configuration, in a fixed order of keys: the same configuration gives the same text.
 * @throws FrpcConfigError when the configuration does not pass checkFrpc
 */
export function renderFrpc(config: FrpcConfig): string {
  const checked = checkFrpc(config)
  if (!checked.ok) throw new FrpcConfigError(checked.problems)
  return `${stringify(checked.config).trim()}\n`
}

/** A TOML text back into a configuration; a text that is no TOML is a problem with line and column. */
export function parseFrpc(text: string): Checked {
  try {
    return checkFrpc(parse(text))
  } catch (error) {
    const [first = ''] = (error as Error).message.split('\n')
    const { line, column } = error as { line?: number; column?: number }
    return { ok: false, problems: [`line ${line ?? '?'}, column ${column ?? '?'}: ${lowerFirst(first)}`] }
  }
}

export class FrpcConfigError extends Error {
  override readonly name = 'FrpcConfigError'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(`frpc configuration refused: ${problems.join('; ')}`)
    this.problems = problems
  }
}

function at(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'configuration'
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text ? `${text}.${String(key)}` : String(key)
  }, '')
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
