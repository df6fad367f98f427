// zod's complaints in the words of pydantic v2, which clients parse: `{"detail":[{type, loc, msg, input, ctx?}]}`.
import type { z } from 'zod'
import { InvalidBody } from './json-app.ts'
import { above, atLeast, both, integer } from './pydantic-fields.ts'

export type PydanticIssue = { type: string; loc: (string | number)[]; msg: string; input: unknown; ctx?: object }

/** What a field of ours finds wrong, already in pydantic's words. */
export type Fault = { type: string; msg: string; ctx?: object }

const typeNames: Record<string, string> = {
  boolean: 'bool_type',
  array: 'list_type',
  object: 'dict_type',
}

/** @throws InvalidBody, which the edge answers as 422 */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body, { reportInput: true })
  if (parsed.success) return parsed.data
  throw new InvalidBody(parsed.error.issues.flatMap((issue) => toPydantic(issue, body)))
}

/** Every number in a body of ours is an integer. */
function judgeInteger(issue: z.core.$ZodIssue): Fault | undefined {
  if (issue.code === 'invalid_type' && (issue.expected === 'number' || issue.expected === 'int')) {
    const found = integer(issue.input)
    return 'value' in found ? undefined : found
  }
  if (issue.code !== 'too_small' || (issue.origin !== 'number' && issue.origin !== 'int')) return undefined
  const found = both(integer, (issue.inclusive ? atLeast : above)(Number(issue.minimum)))(issue.input)
  return 'value' in found ? undefined : found
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
  const fault = judgeInteger(issue)
  if (fault)
    return [{ type: fault.type, loc, msg: fault.msg, input: issue.input, ...(fault.ctx && { ctx: fault.ctx }) }]
  const type = issue.code === 'invalid_type' ? (typeNames[issue.expected] ?? `${issue.expected}_type`) : 'value_error'
  return [{ type, loc, msg: issue.message, input: issue.input }]
}
