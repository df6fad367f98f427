// openapi.json of the launch service, made from the schemas that judge its bodies and describe its answers. Made when asked for.
import { z } from 'zod'
import { launchResponse, logsResponse } from '../api/launches.ts'
import { systemStats } from '../api/stats.ts'
import { launchBody } from './launch-body.ts'

export const title = 'vllm-bootstrap'
export const version = '0.1.0'

/** The words of JSON Schema that ours use. */
export type Schema = {
  $ref?: string
  type?: string | string[]
  title?: string
  description?: string
  anyOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean
  default?: unknown
  minimum?: number
  exclusiveMinimum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
}
type Content = Record<string, { schema: Schema }>

export type Operation = {
  summary: string
  description?: string
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[]
  requestBody?: { required: boolean; content: Content }
  responses: Record<string, { description: string; content?: Content }>
}
export type OpenApi = {
  info: { title: string; version: string; description: string }
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

export function createOpenApi(): OpenApi & { openapi: string } {
  return {
    openapi: '3.1.0',
    info: {
      title,
      version,
      description: 'Launches and manages vLLM engines with explicit GPU ownership.',
    },
    paths: {
      '/': { get: page('Home', 'The launches that have not ended, as a page.') },
      '/launch': {
        post: {
          ...answers('Launch', '201', ref('LaunchResponse'), [400, 409, 422]),
          description: 'Takes the GPUs and returns at once; the model loads from then on.',
          requestBody: { required: true, content: jsonOf(ref('LaunchRequest')) },
        },
        get: {
          ...answers('List Launches', '200', { type: 'array', items: ref('LaunchResponse') }, [422]),
          parameters: [query('include_terminal', { type: 'boolean', default: false })],
        },
      },
      '/launch/{launch_id}': {
        delete: {
          ...answers('Remove', '200', ref('LaunchResponse'), [404, 409]),
          description: 'Stops a launch; one that has ended leaves the list, and its log the disk.',
          parameters: [launchId],
        },
      },
      '/launch/{launch_id}/events': { get: events() },
      '/launch/{launch_id}/v1/{path}': { post: passed('Inference of one launch') },
      '/v1/{path}': { post: passed('Inference by the model that the body names') },
      '/v1/models': { get: { summary: 'Models of all launches', responses: { 200: ok('OpenAI list of models') } } },
      '/status/{launch_id}': {
        get: { ...answers('Status', '200', ref('LaunchResponse'), [404, 422]), parameters: [launchId] },
      },
      '/logs/{launch_id}': {
        get: {
          ...answers('Logs', '200', ref('LogsResponse'), [404, 422]),
          parameters: [launchId, query('offset', { type: 'integer', minimum: 0, default: 0, title: 'Offset' })],
        },
      },
      '/stop/{launch_id}': {
        post: {
          ...answers('Stop', '200', ref('LaunchResponse'), [404, 409, 422]),
          description: "Returns when the engine is gone, or after 28 s. The node's own launch needs force.",
          parameters: [launchId, query('force', { type: 'boolean', default: false })],
        },
      },
      '/stats': { get: answers('Stats', '200', ref('SystemStatsResponse'), []) },
    },
    components: { schemas: createSchemas() },
  }
}

function createSchemas(): Record<string, Schema> {
  const issue = {
    title: 'ValidationError',
    type: 'object',
    required: ['loc', 'msg', 'type'],
    properties: {
      loc: { type: 'array', items: { anyOf: [{ type: 'string' }, { type: 'integer' }] }, title: 'Location' },
      msg: { type: 'string', title: 'Message' },
      type: { type: 'string', title: 'Error Type' },
      input: { title: 'Input' },
      ctx: { type: 'object', title: 'Context' },
    },
  }
  const detail = { type: 'array', items: ref('ValidationError'), title: 'Detail' }
  return {
    LaunchRequest: toSchema(launchBody, 'input'),
    LaunchResponse: toSchema(launchResponse, 'output'),
    LogsResponse: toSchema(logsResponse, 'output'),
    SystemStatsResponse: toSchema(systemStats, 'output'),
    HTTPValidationError: { title: 'HTTPValidationError', type: 'object', properties: { detail } },
    ValidationError: issue,
    Error: { title: 'Error', type: 'object', required: ['detail'], properties: { detail: { type: 'string' } } },
  }
}

function toSchema(schema: z.ZodType, io: 'input' | 'output'): Schema {
  const { $schema: _, ...found } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    // Left out by zod where a value is also transformed.
    override({ zodSchema: { _zod: one }, jsonSchema }) {
      if (one.def.type === 'default') jsonSchema.default = one.def.defaultValue as null
    },
  })
  return found as Schema
}

const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const jsonOf = (schema: Schema) => ({ 'application/json': { schema } })
const ok = (description: string) => ({ description })
const launchId = { name: 'launch_id', in: 'path', required: true, schema: { type: 'string', title: 'Launch Id' } }
const query = (name: string, schema: Schema) => ({ name, in: 'query', required: false, schema })

const refusals: Record<number, string> = {
  400: 'Bad Request',
  404: 'Not Found',
  409: 'Conflict',
  422: 'Validation Error',
}

function answers(summary: string, status: string, schema: Schema, refused: readonly number[]): Operation {
  const others = refused.map((code) => {
    const body = ref(code === 422 ? 'HTTPValidationError' : 'Error')
    return [code, { description: refusals[code] ?? '', content: jsonOf(body) }] as const
  })
  const good = { description: 'Successful Response', content: jsonOf(schema) }
  return { summary, responses: { [status]: good, ...Object.fromEntries(others) } }
}

function page(summary: string, description: string): Operation {
  const content = { 'text/html': { schema: { type: 'string' } } }
  return { summary, description, responses: { 200: { description: 'Successful Response', content } } }
}

function events(): Operation {
  const description =
    'Server-sent events: `state` with the LaunchResponse, `log` with a line, until the launch has ended. Goes on after Last-Event-ID.'
  const content = { 'text/event-stream': { schema: { type: 'string' } } }
  return {
    summary: 'Events',
    description,
    parameters: [launchId],
    responses: { 200: { description: 'Events', content }, 204: ok('All of it was told before'), 404: ok('Not Found') },
  }
}

function passed(summary: string): Operation {
  const description = "vLLM's OpenAI routes, streamed; errors in OpenAI's shape."
  return { summary, description, responses: { 200: ok('What the engine answers'), 404: ok('No such launch or model') } }
}
