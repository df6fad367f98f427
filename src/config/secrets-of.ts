// Which values must never be shown: keys and tokens, also those inside REGISTRATION_JSON and EXTRA_VLLM_ARGS.
import { fields } from './field-table.ts'
import { splitWords } from './fields.ts'
import type { Given } from './given.ts'
import { isOurs } from './names.ts'
import { looksSecret } from './portable.ts'
import { unusedVariables } from './unused-variables.ts'

const secretNames: ReadonlySet<string> = new Set([
  ...fields.filter(({ meta }) => meta.secret).flatMap(({ names }) => names),
  ...Object.keys(unusedVariables).filter((name) => unusedVariables[name]?.secret),
])

/** Of our names those that say so (paths of keys are none); of all others those that look like it. */
export const isSecretName = (name: string) => secretNames.has(name) || (!isOurs(name) && looksSecret(name))

/** The values to tell the redactor, from the raw variables: also when they make no configuration. */
export function secretsOfGiven(given: Given): string[] {
  const found = [...given].flatMap(([name, { value }]) => {
    if (isSecretName(name)) return [value, value.trim()]
    if (name === 'REGISTRATION_JSON') return secretsInJson(value)
    if (name === 'EXTRA_VLLM_ARGS') return secretsInWords(splitWords(value) ?? [])
    return secretsInUrl(value)
  })
  return [...new Set(found)].filter((one) => one !== '')
}

function secretsInJson(text: string): string[] {
  try {
    return secretsBelow(JSON.parse(text))
  } catch {
    // Half a body: whatever stands after a telling key.
    return [...text.matchAll(/"[^"]*(?:token|secret|password|key)"\s*:\s*"((?:\\.|[^"\\])+)/gi)].map(
      (one) => one[1] ?? '',
    )
  }
}

function secretsBelow(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'string' && /token|secret|password|key$/i.test(key) ? [inner] : secretsBelow(inner),
  )
}

/** `--hf-token X`, `--hf_token=X` */
function secretsInWords(words: readonly string[]): string[] {
  return words.flatMap((word, at) => {
    const [name = '', ...rest] = word.split('=')
    if (!/^--[\w-]*(token|secret|password|api[-_]key)$/i.test(name)) return []
    return [rest.length > 0 ? rest.join('=') : (words[at + 1] ?? '')]
  })
}

/** `https://user:password@host/` */
const secretsInUrl = (value: string) => [...value.matchAll(/\/\/[^\s/:@]*:([^\s/@]+)@/g)].map((one) => one[1] ?? '')
