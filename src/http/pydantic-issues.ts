// zod's complaints in the words of pydantic v2, which clients parse: `{"detail":[{type, loc, msg, input, ctx?}]}`.
import type { z } from 'zod'
import { InvalidBody } from './json-app.ts'

export type PydanticIssue = { type: string; loc: (string | number)[]; msg: string; input: unknown; ctx?: object }

/** What a field of ours finds wrong, already in pydantic's words. */
export type Fault = { type: string; msg: string; ctx?: object }

const typeNames: Record<string, string> = {
  boolean: 'bool_type',
  array: 'list_type',
  object: 'dict_type',
  number: 'float_type',
}

/** @throws InvalidBody, which the edge answers as 422 */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body, { reportInput: true })
  if (parsed.success) return parsed.data
  throw new InvalidBody(parsed.error.issues.flatMap((issue) => toPydantic(issue, body)))
}

function toPydantic(issue: z.core.$ZodIssue, body: unknown): PydanticIssue[] {
  const loc = ['body', ...issue.path.map((one) => (typeof one === 'number' ? one : String(one)))]
  if (issue.code === 'custom' && issue.params?.['fault']) {
    const { type, msg, ctx } = issue.params['fault'] as Fault
    if (type === 'missing') return [{ type, loc, msg, input: body ?? null }]
    return [{ type, loc, msg, input: issue.input, ...(ctx && { ctx }) }]
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      type: 'extra_forbidden',
      loc: [...loc, key],
      msg: 'Extra inputs are not permitted',
      input: (issue.input as Record<string, unknown> | undefined)?.[key],
    }))
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) {
    return [{ type: 'missing', loc, msg: 'Field required', input: body ?? null }]
  }
  const type = issue.code === 'invalid_type' ? (typeNames[issue.expected] ?? `${issue.expected}_type`) : 'value_error'
  return [{ type, loc, msg: issue.message, input: issue.input }]
}
