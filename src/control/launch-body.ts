// The body of `POST /launch` (contracts/control-plane.md A1.1): judged as pydantic judges it, unknown keys ignored. openapi.json is
// made from the same schema.
import { z } from 'zod'
import { type LaunchRequest, type LaunchTask, launchTasks } from '../api/launches.ts'
import { InvalidBody } from '../http/json-app.ts'
import {
  above,
  atLeast,
  boolean,
  both,
  field,
  integer,
  list,
  number,
  object,
  orNull,
  text,
} from '../http/pydantic-fields.ts'
import { type Fault, parseBody } from '../http/pydantic-issues.ts'

const orNothing = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
const longestName = 200
const taskPattern = '^(embed|generate)$'

export const launchBody = z
  .object({
    model: field(both(text, notEmpty), {
      type: 'string',
      minLength: 1,
      title: 'Model',
      description: 'Model id/path passed to vLLM. Required.',
    }),
    gpu_ids: list(integer, { type: 'array', items: { type: 'integer' } })
      .nullable()
      .default(null)
      .meta({ title: 'Gpu Ids', description: 'Specific GPU ids to allocate. Defaults to all visible GPUs.' }),
    task: field(both(text, aTask), {
      type: 'string',
      pattern: taskPattern,
      title: 'Task',
      default: 'generate',
      description: "Task type: 'generate' for text generation or 'embed' for embeddings.",
    }).default('generate'),
    extra_kwargs: field(object, {
      type: 'object',
      additionalProperties: true,
      title: 'Extra Kwargs',
      description: 'Additional keyword arguments passed to vllm.LLM constructor.',
    }).default({}),
    gpu_count: field(orNull(both(integer, above(0))), {
      ...orNothing({ type: 'integer', exclusiveMinimum: 0 }),
      description: 'So many free GPUs, picked here; in place of gpu_ids.',
    }).optional(),
    min_free_mib: field(orNull(both(integer, atLeast(0))), {
      ...orNothing({ type: 'integer', minimum: 0 }),
      description: 'Free memory that each picked GPU must have, MiB.',
    }).optional(),
    queue: field(orNull(boolean), {
      ...orNothing({ type: 'boolean' }),
      description: 'Wait for the GPUs where they are in use.',
    }).optional(),
    ttl_seconds: field(orNull(both(number, above(0))), {
      ...orNothing({ type: 'number', exclusiveMinimum: 0 }),
      description: 'Stopped so long after it became ready.',
    }).optional(),
    idle_stop_seconds: field(orNull(both(number, above(0))), {
      ...orNothing({ type: 'number', exclusiveMinimum: 0 }),
      description: 'Stopped after so long without a request.',
    }).optional(),
    name: field(orNull(both(text, shortName)), {
      ...orNothing({ type: 'string', maxLength: longestName }),
      description: 'Shown in lists.',
    }).optional(),
  })
  .meta({ title: 'LaunchRequest' })

/** @throws InvalidBody, which the edges answer as 422 */
export function parseLaunchBody(body: unknown): LaunchRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new InvalidBody([noObject(body)])
  const { model, gpu_ids, task, extra_kwargs, ...ours } = parseBody(launchBody, body)
  const given = Object.entries(ours).filter(([, value]) => value !== undefined && value !== null)
  return { model, gpu_ids, task: task as LaunchTask, extra_kwargs, ...Object.fromEntries(given) }
}

/** undefined: there was no body at all. */
function noObject(body: unknown) {
  if (body === undefined) return { type: 'missing', loc: ['body'], msg: 'Field required', input: null }
  const msg = 'Input should be a valid dictionary or object to extract fields from'
  return { type: 'model_attributes_type', loc: ['body'], msg, input: body }
}

function notEmpty(value: string): Fault | undefined {
  if (value.length > 0) return undefined
  return { type: 'string_too_short', msg: 'String should have at least 1 character', ctx: { min_length: 1 } }
}

function shortName(value: string): Fault | undefined {
  if (value.length <= longestName) return undefined
  const msg = `String should have at most ${longestName} characters`
  return { type: 'string_too_long', msg, ctx: { max_length: longestName } }
}

function aTask(value: string): Fault | undefined {
  if (launchTasks.some((task) => task === value)) return undefined
  const msg = `String should match pattern '${taskPattern}'`
  return { type: 'string_pattern_mismatch', msg, ctx: { pattern: taskPattern } }
}
