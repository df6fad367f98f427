// A1.1: routes, bodies, refusals.
import assert from 'node:assert/strict'
import type { Case } from './case.ts'
import type { Ask, Target } from './target.ts'

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
/** RFC 3339, UTC, microseconds (left out where they are zero), `Z`. */
const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/
const absent = '00000000-0000-4000-8000-000000000000'

type Refused = [title: string, method: string, path: string, ask: Ask, status: number, json: unknown]

const notInt = 'Input should be a valid integer, unable to parse string as an integer'
const noObject = 'Input should be a valid dictionary or object to extract fields from'
const issue = (type: string, loc: (string | number)[], msg: string, ...[input, ctx]: [unknown, object?]) => ({
  detail: [{ type, loc, msg, input, ...(ctx && { ctx }) }],
})
const json = (text: string): Ask => ({ raw: { text, type: 'application/json' } })
const launch = (text: string): [string, string, Ask] => ['POST', '/launch', json(text)]

const validations: Refused[] = [
  [
    'no content-type',
    'POST',
    '/launch',
    { raw: { text: '{"model":"m"}' } },
    422,
    issue('model_attributes_type', ['body'], noObject, '{"model":"m"}'),
  ],
  [
    'bad JSON',
    ...launch('{"model":'),
    422,
    {
      detail: [
        {
          type: 'json_invalid',
          loc: ['body', 9],
          msg: 'JSON decode error',
          input: {},
          ctx: { error: 'Expecting value' },
        },
      ],
    },
  ],
  ['no body', ...launch(''), 422, issue('missing', ['body'], 'Field required', null)],
  ['null', ...launch('null'), 422, issue('model_attributes_type', ['body'], noObject, null)],
  ['a list', ...launch('[]'), 422, issue('model_attributes_type', ['body'], noObject, [])],
  ['no model', ...launch('{}'), 422, issue('missing', ['body', 'model'], 'Field required', {})],
  [
    'a number as model',
    ...launch('{"model":5}'),
    422,
    issue('string_type', ['body', 'model'], 'Input should be a valid string', 5),
  ],
  [
    'an empty model',
    ...launch('{"model":""}'),
    422,
    issue('string_too_short', ['body', 'model'], 'String should have at least 1 character', '', { min_length: 1 }),
  ],
  [
    'a word as GPU',
    ...launch('{"model":"m","gpu_ids":["a"]}'),
    422,
    issue('int_parsing', ['body', 'gpu_ids', 0], notInt, 'a'),
  ],
  [
    'half a GPU',
    ...launch('{"model":"m","gpu_ids":[1.5]}'),
    422,
    issue(
      'int_from_float',
      ['body', 'gpu_ids', 0],
      'Input should be a valid integer, got a number with a fractional part',
      1.5,
    ),
  ],
  [
    'a text as GPUs',
    ...launch('{"model":"m","gpu_ids":"0"}'),
    422,
    issue('list_type', ['body', 'gpu_ids'], 'Input should be a valid list', '0'),
  ],
  [
    'null as GPU',
    ...launch('{"model":"m","gpu_ids":[null]}'),
    422,
    issue('int_type', ['body', 'gpu_ids', 0], 'Input should be a valid integer', null),
  ],
  [
    'null as task',
    ...launch('{"model":"m","task":null}'),
    422,
    issue('string_type', ['body', 'task'], 'Input should be a valid string', null),
  ],
  [
    'an unknown task',
    ...launch('{"model":"m","task":"x"}'),
    422,
    issue('string_pattern_mismatch', ['body', 'task'], "String should match pattern '^(embed|generate)$'", 'x', {
      pattern: '^(embed|generate)$',
    }),
  ],
  [
    'null as extra_kwargs',
    ...launch('{"model":"m","extra_kwargs":null}'),
    422,
    issue('dict_type', ['body', 'extra_kwargs'], 'Input should be a valid dictionary', null),
  ],
  [
    'a list as extra_kwargs',
    ...launch('{"model":"m","extra_kwargs":[]}'),
    422,
    issue('dict_type', ['body', 'extra_kwargs'], 'Input should be a valid dictionary', []),
  ],
  [
    'a negative offset',
    'GET',
    `/logs/${absent}?offset=-1`,
    {},
    422,
    issue('greater_than_equal', ['query', 'offset'], 'Input should be greater than or equal to 0', '-1', { ge: 0 }),
  ],
  [
    'a word as offset',
    'GET',
    `/logs/${absent}?offset=a`,
    {},
    422,
    issue('int_parsing', ['query', 'offset'], notInt, 'a'),
  ],
]

const refusals: Refused[] = [
  ['a model of blanks', ...launch('{"model":"  "}'), 400, { detail: 'model must be provided' }],
  ['an empty list of GPUs', ...launch('{"model":"m","gpu_ids":[]}'), 400, { detail: 'gpu_ids cannot be empty' }],
  [
    'GPUs that are not there',
    ...launch('{"model":"m","gpu_ids":[98,97]}'),
    400,
    { detail: 'Requested GPUs are not available: [97, 98]' },
  ],
  [
    'a negative GPU',
    ...launch('{"model":"m","gpu_ids":[-1]}'),
    400,
    { detail: 'Requested GPUs are not available: [-1]' },
  ],
  ['the status of an unknown launch', 'GET', `/status/${absent}`, {}, 404, { detail: `Unknown launch_id: ${absent}` }],
  [
    'the log of an unknown launch',
    'GET',
    `/logs/${absent}?offset=1.0`,
    {},
    404,
    { detail: `Unknown launch_id: ${absent}` },
  ],
  ['the stop of an unknown launch', 'POST', `/stop/${absent}`, {}, 404, { detail: `Unknown launch_id: ${absent}` }],
  ['an unknown path', 'GET', '/nothing', {}, 404, { detail: 'Not Found' }],
  ['a wrong method', 'GET', `/stop/${absent}`, {}, 405, { detail: 'Method Not Allowed' }],
  ['a method that nobody has', 'PUT', '/launch', {}, 405, { detail: 'Method Not Allowed' }],
  ['HEAD', 'HEAD', '/launch', {}, 405, undefined],
]

const toCase = ([title, method, path, ask, status, wanted]: Refused): Case => ({
  of: 'A1.1',
  title: `${title} is ${status}`,
  async run(target) {
    const answer = await target.call(method, path, ask)
    assert.equal(answer.status, status, `answered ${answer.status} ${answer.text}`)
    assert.deepEqual(answer.json, wanted)
    if (status === 405) assert.ok(answer.headers['allow'], 'no allow header')
  },
})

/** Answers 201 and stops it. */
async function tryLaunch(target: Target, body: object, seen: (answer: Awaited<ReturnType<Target['launch']>>) => void) {
  const made = await target.launch(body)
  try {
    seen(made)
  } finally {
    await target.stop(made.launch_id)
  }
}

export const restCases: Case[] = [
  ...validations.map(toCase),
  ...refusals.map(toCase),
  {
    of: 'A1.1',
    title: 'several mistakes are told together, in the order of the fields',
    async run(target) {
      const { status, json: found } = await target.call(...launch('{"gpu_ids":["a"],"task":"x"}'))
      assert.equal(status, 422)
      const { detail } = found as { detail: { type: string }[] }
      assert.deepEqual(
        detail.map(({ type }) => type),
        ['missing', 'int_parsing', 'string_pattern_mismatch'],
      )
    },
  },
  {
    of: 'A1.1',
    title: 'a trailing slash is a redirect to the path without it',
    async run(target) {
      const { status, headers } = await target.call('GET', '/launch/')
      assert.equal(status, 307)
      assert.match(headers['location'] ?? '', /\/launch$/)
    },
  },
  {
    of: 'A1.1',
    title: 'a launch is answered with 201, at once, in eight fields',
    async run(target) {
      const body = { model: ` ${target.model} `, gpu_ids: [target.gpus[0]], unknown_key: 1 }
      await tryLaunch(target, body, (made) => {
        assert.match(made.launch_id, uuid4)
        assert.match(made.created_at, instant)
        assert.match(made.updated_at, instant)
        const { launch_id: _, created_at: __, updated_at: ___, ...rest } = made
        const wanted = {
          model: target.model,
          gpu_ids: [target.gpus[0]],
          task: 'generate',
          state: 'bootstrapping',
          error: null,
        }
        assert.deepEqual(
          Object.fromEntries(Object.keys(wanted).map((name) => [name, rest[name as keyof typeof rest]])),
          wanted,
        )
      })
    },
  },
  {
    of: 'A1.1',
    title: 'GPUs are coerced from texts, floats and repetitions, and sorted',
    async run(target) {
      const [first, second] = target.gpus
      const body = { model: target.model, gpu_ids: [String(second), first + 0.0, second] }
      await tryLaunch(target, body, ({ gpu_ids }) => assert.deepEqual(gpu_ids, [first, second]))
      const raw = json(`{"model":${JSON.stringify(target.model)},"gpu_ids":[${first}.0]}`)
      const { status, json: made, text } = await target.call('POST', '/launch', raw)
      assert.equal(status, 201, text)
      await target.stop((made as { launch_id: string }).launch_id)
    },
  },
  {
    of: 'A1.1',
    title: 'the answers have JSON types and no charset',
    async run(target) {
      const { headers } = await target.call('GET', '/launch')
      assert.equal(headers['content-type'], 'application/json')
    },
  },
  {
    of: 'A1.1',
    title: 'the documentation is served, and the schema names every route',
    async run(target) {
      for (const path of ['/docs', '/redoc']) {
        const { status, headers } = await target.call('GET', path)
        assert.equal(status, 200, path)
        assert.match(headers['content-type'] ?? '', /^text\/html/)
      }
      const schema = (await target.call('GET', '/openapi.json')).json as {
        info: { title: string; version: string }
        paths: Record<string, object>
        components: { schemas: Record<string, { properties: object; required?: string[] }> }
      }
      assert.equal(schema.info.title, 'vllm-bootstrap')
      assert.equal(schema.info.version, '0.1.0')
      const paths = ['/', '/launch', '/status/{launch_id}', '/logs/{launch_id}', '/stop/{launch_id}', '/stats']
      for (const path of paths) assert.ok(schema.paths[path], `no ${path}`)
      const fields = Object.keys(schema.components.schemas['LaunchRequest']?.properties ?? {})
      for (const field of ['model', 'gpu_ids', 'task', 'extra_kwargs']) assert.ok(fields.includes(field), field)
      assert.deepEqual(schema.components.schemas['LaunchRequest']?.required, ['model'])
    },
  },
]
