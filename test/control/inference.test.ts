// What else comes to `/v1/*`: forms with files, long bodies, the same model twice, methods and slashes.
import { expect, test } from 'vitest'
import { createFormScan, parseBoundary } from '../../src/control/form-scan.ts'
import { startBed } from './bed.ts'
import { startEngine, startTwo } from './two-launches.ts'

/** As a browser and as Python's httpx write it. */
const toForm = (boundary: string, parts: readonly (readonly [header: string, content: string])[]) =>
  Buffer.from(
    `${parts.map(([header, content]) => `--${boundary}\r\nContent-Disposition: form-data; ${header}\r\n\r\n${content}\r\n`).join('')}--${boundary}--\r\n`,
  )

const sound = ['name="file"; filename="model"\r\nContent-Type: audio/wav', `--b\r\n--B ${'x'.repeat(100_000)}`] as const

test('a form goes to the launch that its field model names, before or behind the file, and arrives as it was', async () => {
  const { call } = await startTwo()
  const send = async (body: Buffer, type: string) => {
    const answer = await call('POST', '/v1/audio/transcriptions', { body, headers: { 'content-type': type } })
    return { status: answer.status, ...(JSON.parse(answer.text) as object) }
  }
  for (const parts of [
    [['name="model"', 'two'], sound],
    [sound, ['name="language"', ''], ['name="model"', 'two']],
  ] as const) {
    const body = toForm('----B1', parts)
    const found = await send(body, 'multipart/form-data; boundary=----B1')
    expect(found).toMatchObject({ status: 200, name: 'two', url: '/v1/audio/transcriptions', bytes: body.length })
  }
  const unknown = await send(toForm('B', [['name="model"', 'three']]), 'multipart/form-data; boundary="B"')
  expect(unknown).toMatchObject({
    status: 404,
    error: { message: expect.stringContaining('there are: one') as string },
  })
  const nameless = await send(toForm('B', [sound]), 'multipart/form-data; boundary=B')
  expect(nameless).toMatchObject({ status: 400, error: { message: 'the body names no model; there are: one, two' } })
})

test.each([
  [[['name="model"', 'a']], 'a'],
  [[['name=model', 'a b']], 'a b'],
  [
    [
      ['name="x"', ''],
      ['name="model"', 'ä€'],
    ],
    'ä€',
  ],
  [[['name="model"', '']], ''],
  [[['name="model"; filename="x"', 'a']], undefined],
  [[['name="models"', 'a']], undefined],
  [
    [
      ['name="x"', '\r\n--B1\r\nno'],
      ['name="model"', 'late'],
    ],
    'late',
  ],
  [[['name="model"', 'x'.repeat(5000)]], undefined],
  [[], undefined],
] as const)('of the form %j the scan finds %j, in any pieces', (parts, wanted) => {
  const bytes = toForm('B', parts)
  for (const size of [1, 3, 7, bytes.length]) {
    const scan = createFormScan(parseBoundary('multipart/form-data; charset=utf-8; boundary=B') ?? '')
    const found = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      scan.feed(bytes.subarray(at * size, (at + 1) * size)),
    ).find((one) => one !== undefined)
    expect(found?.kind === 'model' ? found.model : undefined).toBe(wanted)
  }
})

test('of two launches with the same model the less busy one is asked, and 20 MB arrive whole', async () => {
  const bed = await startBed()
  for (const id of ['a', 'b']) {
    bed.launches.add(id, { model: 'same', state: 'ready' })
    bed.launches.serve(id, await startEngine(id))
  }
  const ask = async (prompt = '') => {
    const body = JSON.stringify({ model: 'same', prompt })
    const headers = { 'content-type': 'application/json' }
    const { status, text } = await bed.call('POST', '/v1/completions', { body, headers })
    return { status, ...(JSON.parse(text) as { name: string; bytes: number }) }
  }
  const [busy] = bed.launches.upstreams('a')
  using _turn = busy?.begin()
  expect((await ask()).name).toBe('b')
  expect(await ask('x'.repeat(20_000_000))).toMatchObject({ status: 200, name: 'b', bytes: 20_000_028 })
  bed.launches.become('b', 'stopped')
  bed.launches.upstreams('b')[0]!.state.value = 'gone'
  expect((await ask()).name).toBe('a')
})

test('an engine in a PoC round is asked for a model only where no other engine serves it', async () => {
  const mining = new Set<string>()
  const bed = await startBed({ isMining: ({ id }) => mining.has(id) })
  for (const id of ['node', 'b']) {
    bed.launches.add(id, { model: 'same', state: 'ready', ...(id === 'node' && { owner: 'configuration' }) })
    bed.launches.serve(id, await startEngine(id))
  }
  const ask = async (body = '{"model":"same"}') => {
    const headers = { 'content-type': 'application/json' }
    const { text } = await bed.call('POST', '/v1/completions', { body, headers })
    return (JSON.parse(text) as { name: string }).name
  }
  const names = async () => [await ask(), await ask(), await ask(), await ask()]
  expect(new Set(await names())).toEqual(new Set(['node', 'b']))
  expect([await ask('{}'), await ask('{}')]).toEqual(['node', 'node'])
  mining.add(bed.launches.upstreams('node')[0]!.id)
  expect([await ask('{}'), await ask('{}')]).toEqual(['b', 'b'])
  expect(await names()).toEqual(['b', 'b', 'b', 'b'])
  bed.launches.upstreams('b')[0]!.state.value = 'gone'
  expect(await names()).toEqual(['node', 'node', 'node', 'node'])
})

test.each([
  ['HEAD', '/v1/models', 200],
  ['GET', '/v1/models/', 400],
  ['DELETE', '/v1/models', 400],
  ['HEAD', '/launch/a/v1/models', 200],
  ['GET', '/v1', 404],
  ['GET', '/launch/a/v1', 404],
  ['POST', '/launch/a/', 307],
  ['GET', '/launch/a/metrics', 404],
  ['PUT', '/launch/a', 405],
  ['POST', '/launch/a/events', 405],
  ['HEAD', '/launch/a/events', 405],
  ['POST', '/livez', 405],
  ['HEAD', '/livez', 200],
] as const)('%s %s is %i', async (method, path, status) => {
  const { call } = await startTwo()
  const heard = await call(method, path)
  expect([heard.status, method === 'HEAD' && heard.text !== '']).toEqual([status, false])
})
