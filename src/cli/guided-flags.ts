// Flags of guided decoding, as the launch service takes it.
import { readFile } from 'node:fs/promises'
import type { GuidedDecoding } from '../api/inference.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { textOf } from './flags.ts'
import { type Invocation, UsageError } from './verb.ts'

const names = ['choice', 'regex', 'json-schema', 'grammar'] as const

/** @throws UsageError where several kinds are given, or a schema that is none */
export async function parseGuided(flags: Invocation['flags']): Promise<Partial<GuidedDecoding> | undefined> {
  const [name, other] = names.filter((one) => flags[one] !== undefined)
  if (other !== undefined) throw new UsageError(`--${name} and --${other} exclude each other`)
  switch (name) {
    case undefined:
      return undefined
    case 'choice':
      return { choice: flags['choice'] as string[] }
    case 'regex':
      return { regex: textOf(flags, 'regex') ?? '' }
    case 'grammar':
      return { grammar: await readIfFile(textOf(flags, 'grammar') ?? '') }
    case 'json-schema':
      return { json_schema: checkSchema(await readIfFile(textOf(flags, 'json-schema') ?? '')) }
  }
}

/** What is no path of a file is the text itself. */
async function readIfFile(given: string): Promise<string> {
  try {
    return await readFile(given, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE'].includes(codeOf(error) ?? '')) return given
    throw new UsageError(`"${given}" cannot be read: ${messageOf(error)}`)
  }
}

function checkSchema(text: string): string {
  try {
    JSON.parse(text)
    return text
  } catch (error) {
    throw new UsageError(`--json-schema "${text.slice(0, 200)}" is neither a file nor JSON: ${messageOf(error)}`)
  }
}
