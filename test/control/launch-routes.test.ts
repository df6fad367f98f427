// Against answers of FastAPI and pydantic to the same requests, as they were measured (test/fixtures/fastapi-answers.json).
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { createLaunchCalls } from '../../src/control/launch-calls.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { fastapiAnswers, type Measured } from '../fixtures/fastapi-answers.ts'
import { createFakeLaunches, startBed } from './bed.ts'

const json = { 'content-type': 'application/json' }
const launch = (bed: Awaited<ReturnType<typeof startBed>>, body: object) =>
  bed.call('POST', '/launch', { body: JSON.stringify(body), headers: json })

test.each(fastapiAnswers.map((one) => [...one.ask.slice(0, 3), one] as const))(
  '%s %s %j is answered as by FastAPI',
  async (...all) => {
    const { ask, bytes, status, allow, location, text } = all.at(-1) as Measured
    const [method, path, body, type = 'application/json'] = ask
    const bed = await startBed()
    bed.launches.add('x')
    const headers = { ...(type !== null && { 'content-type': type }), host: `localhost:${bed.port}` }
    const sent = body === undefined ? { headers } : { headers, body: Buffer.from(body, bytes ?? 'utf8') }
    const heard = await bed.call(method, path, sent)
    expect(heard.status).toBe(status)
    const told = { allow: heard.headers['allow'], location: heard.headers['location'] }
    expect(told.allow).toBe(allow)
    expect(told.location).toBe(location && `http://localhost:${bed.port}${location}`)
    // Where it was taken, FastAPI told what it had understood.
    expect(bed.launches.asked).toEqual(status === 201 ? [JSON.parse(text ?? '')] : [])
    expect(heard.text).toBe(status < 400 ? heard.text : (text ?? ''))
  },
)

test('a launch is 201 with the eight fields in their order, ours behind them', async () => {
  const bed = await startBed()
  const { status, text, headers } = await launch(bed, { model: 'm' })
  expect([status, headers['content-type']]).toEqual([201, 'application/json'])
  expect(text).toBe(
    '{"launch_id":"id-1","model":"m","gpu_ids":[0],"task":"generate","state":"bootstrapping","created_at":"2026-11-20T22:12:46.781225Z","updated_at":"2026-11-20T22:12:46.781225Z","error":null}',
  )
  bed.launches.become('id-1', 'failed', { name: 'mine', error: 'no' })
  expect((await bed.call('GET', '/status/id-1')).text).toMatch(/"error":"no","name":"mine"}$/)
  expect((await bed.call('GET', '/status/nope')).text).toBe('{"detail":"Unknown launch_id: nope"}')
})

test('our own fields are judged like the others, and null is not given', async () => {
  const bed = await startBed()
  const wrong = await launch(bed, { model: 'm', gpu_count: 0, queue: 'maybe', ttl_seconds: 'x', min_free_mib: 1.5 })
  const told = (JSON.parse(wrong.text) as { detail: { type: string; loc: string[] }[] }).detail
  expect(told.map(({ type, loc }) => `${loc.at(-1)} ${type}`)).toEqual([
    'gpu_count greater_than',
    'min_free_mib int_from_float',
    'queue bool_parsing',
    'ttl_seconds float_parsing',
  ])
  await launch(bed, { model: 'm', gpu_count: '2', queue: 'yes', ttl_seconds: '1.5', name: null })
  expect(bed.launches.asked).toEqual([
    { model: 'm', gpu_ids: null, task: 'generate', extra_kwargs: {}, gpu_count: 2, queue: true, ttl_seconds: 1.5 },
  ])
})

test('the list has what has not ended, and all with include_terminal; the page shows the newest first, as text', async () => {
  const bed = await startBed()
  expect((await bed.call('GET', '/')).text).toContain('No running vLLM launches.')
  bed.launches.add('a')
  bed.launches.add('b', { model: '<b>&"' })
  bed.launches.add('c', { state: 'failed' })
  const ids = async (path: string) =>
    (JSON.parse((await bed.call('GET', path)).text) as { launch_id: string }[]).map(({ launch_id }) => launch_id)
  expect(await ids('/launch')).toEqual(['a', 'b'])
  expect(await ids('/launch?include_terminal=1')).toEqual(['a', 'b', 'c'])
  expect((await bed.call('GET', '/launch?include_terminal=x')).status).toBe(422)
  const { text, headers } = await bed.call('GET', '/')
  expect(headers['content-type']).toBe('text/html; charset=utf-8')
  expect(text).toContain('vllm-bootstrap Home Health')
  expect(text).toContain('Active Launches: 2')
  expect(text).toContain('&lt;b&gt;&amp;&#34;')
  expect(text.indexOf('<code>b</code>')).toBeLessThan(text.indexOf('<code>a</code>'))
})

test('stop takes force, and is idempotent; delete stops what runs and forgets what has ended', async () => {
  const bed = await startBed()
  bed.launches.add('a')
  expect((await bed.call('POST', '/stop/a?force=true')).text).toContain('"state":"stopped"')
  expect((await bed.call('POST', '/stop/a')).status).toBe(200)
  expect(bed.launches.stops).toEqual([
    { id: 'a', force: true },
    { id: 'a', force: false },
  ])
  bed.launches.add('b')
  expect((await bed.call('DELETE', '/launch/b')).text).toContain('"state":"stopped"')
  expect((await bed.call('GET', '/status/b')).status).toBe(200)
  expect((await bed.call('DELETE', '/launch/b')).text).toContain('"launch_id":"b"')
  expect((await bed.call('GET', '/status/b')).status).toBe(404)
})

test('a stop that finds no end is answered all the same, with what is known', async () => {
  const launches = createFakeLaunches()
  launches.add('a')
  const waits: number[] = []
  launches.stop = async (id, { within }) => {
    waits.push(within)
    launches.become(id, 'stopping')
    return new Promise<never>(() => {})
  }
  const clock: Clock = { ...systemClock, wait: async (ms) => void waits.push(ms) }
  const calls = createLaunchCalls({ launches, safeKwargsOnly: false, logReadChunk: 1, log: silentLog, clock })
  expect(await calls.stop('a', false)).toMatchObject({ launch_id: 'a', state: 'stopping' })
  // Clients give up after 30 s.
  expect(Math.max(...waits)).toBeLessThanOrEqual(28_000)
})

test('a stop that waited for a starting daemon is answered as soon after it came as any other', async () => {
  const ready = signal(false)
  const { call, launches } = await startBed({ ready })
  launches.add('a')
  const waits: number[] = []
  launches.stop = async (id, { within }) => {
    waits.push(within)
    return launches.add(id)
  }
  const begun = performance.now()
  const answer = call('POST', '/stop/a')
  await expect.poll(() => performance.now() - begun).toBeGreaterThan(300)
  ready.value = true
  expect((await answer).status).toBe(200)
  // Most of the 300 ms: the connection is not there at once.
  expect(waits[0]).toBeLessThan(27_000 - 100)
})

test('arguments that load code or read files pass, and are refused where only safe ones are allowed', async () => {
  const [open, safe] = await Promise.all([startBed(), startBed({ safeKwargsOnly: true })])
  const risky = { model: 'm', extra_kwargs: { max_model_len: 4096, 'Trust-Remote-Code': true, new_option: 1 } }
  expect((await launch(open, risky)).status).toBe(201)
  const refused = await launch(safe, risky)
  expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('Trust-Remote-Code, new_option')])
  expect((await launch(safe, { model: 'm', extra_kwargs: { 'max-model-len': 4096, dtype: 'half' } })).status).toBe(201)
  expect(safe.launches.asked).toHaveLength(1)
})

test('a body without end is refused as soon as it is too long, and one of many levels is not followed down', async () => {
  const bed = await startBed()
  const long = await bed.call('POST', '/launch', { body: Buffer.alloc(3 << 20, 32), headers: json })
  expect([long.status, long.text]).toEqual([413, '{"detail":"the body has more than 1048576 bytes"}'])
  const deep = `{"model":"m","extra_kwargs":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`
  const { status, text } = await bed.call('POST', '/launch', { body: deep, headers: json })
  expect([status, text]).toEqual([400, '{"detail":"There was an error parsing the body"}'])
  const cut = await bed.call('POST', '/launch', { body: deep.slice(0, 100_000), headers: json })
  expect(cut.status).toBe(422)
})

test('a bug is 500 and tells nothing', async () => {
  const bed = await startBed()
  bed.launches.readLog = async () => {
    throw new Error('secret')
  }
  const { status, text } = await bed.call('GET', '/logs/x')
  expect([status, text]).toEqual([500, '{"detail":"Internal Server Error"}'])
})

test('openapi.json has the routes, and schemas of the fields that are judged; its pages load nothing from elsewhere', async () => {
  const bed = await startBed()
  const api = JSON.parse((await bed.call('GET', '/openapi.json')).text) as {
    info: object
    paths: object
    components: { schemas: { LaunchRequest: { required: string[]; properties: object } } }
  }
  expect(api.info).toMatchObject({ title: 'vllm-bootstrap', version: '0.1.0' })
  expect(Object.keys(api.paths)).toEqual(expect.arrayContaining(['/', '/launch', '/status/{launch_id}', '/stats']))
  expect(api.components.schemas.LaunchRequest.required).toEqual(['model'])
  expect(api.components.schemas.LaunchRequest.properties).toMatchObject({
    task: { pattern: '^(embed|generate)$', default: 'generate' },
    gpu_ids: { default: null },
    extra_kwargs: { default: {} },
  })
  for (const path of ['/docs', '/redoc']) {
    const { status, text, headers } = await bed.call('GET', path)
    expect([status, text]).toEqual([200, expect.stringContaining('<title>vllm-bootstrap - ')])
    expect(text).not.toMatch(/<script|https?:\/\//)
    expect(text).toMatch(
      /<code>idle_stop_seconds<\/code><\/td><td>number &gt; 0 or null<.*after so long without a request/,
    )
    expect(text).toContain('(string or integer)[]')
    expect(text).toMatch(/<code>state<\/code><\/td><td><code>&#34;bootstrapping&#34;<\/code> or .*<td>required</)
    const links = [...text.matchAll(/href="#(\w+)"/g)].map(([, name]) => name)
    expect(links).toEqual(expect.arrayContaining(['LaunchRequest', 'LaunchResponse', 'Error']))
    for (const name of links) expect(text).toContain(`<section id="${name}">`)
    expect(headers['content-security-policy']).toContain("default-src 'none'")
  }
})

test('the bodies of the engine gateway stay', async () => {
  const bed = await startBed()
  const told = async (path: string) => {
    const { status, text } = await bed.call('GET', path)
    return `${status} ${text}`
  }
  expect(await told('/livez')).toBe('200 {"status":"alive"}')
  expect(await told('/healthz')).toBe('503 {"status":"not_ready"}')
  expect(await told('/version')).toBe('200 {"build_sha":"dev","build_time":"dev"}')
  bed.launches.add('a', { state: 'ready' })
  bed.launches.serve('a', 1)
  expect(await told('/healthz')).toBe('200 {"status":"ready"}')
})
