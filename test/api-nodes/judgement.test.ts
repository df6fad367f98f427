// The pure files: record, hardware, comparison, classification, timing.
import { expect, test } from 'vitest'
import { judgeAnswer, readError } from '../../src/api-nodes/classify.ts'
import { judgeDifferences, pickListed } from '../../src/api-nodes/compare.ts'
import { toHardware } from '../../src/api-nodes/hardware.ts'
import { apiNodeProblems } from '../../src/api-nodes/problems.ts'
import { readOwnAddress } from '../../src/api-nodes/own-address.ts'
import { needsOwnAddress, renderRecord } from '../../src/api-nodes/record.ts'
import { defaultTiming, judgeRetry } from '../../src/api-nodes/timing.ts'
import { bare, model, settings, twoGpus } from './support.ts'

const facts = { model, args: ['--a', 'b'], tunnelled: true, ports: { inference: 5001, node: 8081 } }
const seen = { ownAddress: '10.9.8.7', hardware: [{ type: 'X | 1GB', count: 2 }] }

test('the record with tunnels is this one', () => {
  expect(renderRecord(settings({}), facts, seen)).toEqual({
    id: '0042',
    host: 'frps',
    inference_port: 10042,
    inference_segment: '',
    poc_port: 20042,
    poc_segment: '',
    max_concurrent: 500,
    models: { [model]: { args: ['--a', 'b'] } },
    hardware: [{ type: 'X | 1GB', count: 2 }],
  })
})

test('prefix, node id, host and concurrency come from their variables', () => {
  const config = settings({ idPrefix: 'eu-', nodeId: 'box7', nodeHost: 'edge.example', maxConcurrent: '7' })
  expect(renderRecord(config, facts, seen)).toMatchObject({
    id: 'eu-box7',
    host: 'edge.example',
    inference_port: 10042,
    max_concurrent: 7,
  })
})

test.each([
  ['our own address', {}, '10.9.8.7', '10.9.8.7'],
  ['our own IPv6 address in brackets', {}, 'fd00::7', '[fd00::7]'],
  ['NODE_HOST in brackets when it is IPv6', { nodeHost: 'fd00::9' }, '', '[fd00::9]'],
])('without tunnels the record has %s and the ports of our listeners', (_, raw, ownAddress, host) => {
  const body = renderRecord(settings(raw), { ...facts, tunnelled: false }, { ...seen, ownAddress })
  expect(body).toMatchObject({ host, inference_port: 5001, poc_port: 8081 })
})

test('REGISTRATION_JSON is sent as it is', () => {
  const json = { ...bare, extra: { kept: [1, null] }, max_concurrent: 3 }
  const config = settings({ json: JSON.stringify(json) })
  expect(renderRecord(config, { ...facts, model: undefined }, seen)).toEqual(json)
  expect(needsOwnAddress(config, { ...facts, tunnelled: false })).toBe(false)
})

test('without a model there is nothing to register', () => {
  expect(renderRecord(settings({}), { ...facts, model: undefined }, seen)).toBeUndefined()
})

test('the own address towards loopback is loopback', async () => {
  expect(await readOwnAddress({ host: '127.0.0.1', port: 9 })).toBe('127.0.0.1')
})

test.each([
  [{}, [{ type: 'NVIDIA H100 80GB HBM3 | 79GB', count: 2 }]],
  [{ gpuType: 'L40S' }, [{ type: 'L40S | 79GB', count: 2 }]],
  [{ gpuType: 'L40S | 45GB', numGpus: 4 }, [{ type: 'L40S | 45GB', count: 4 }]],
  [{ numGpus: 8 }, [{ type: 'NVIDIA H100 80GB HBM3 | 79GB', count: 8 }]],
])('hardware with %j is in the text form of the API nodes', (config, hardware) => {
  expect(toHardware(twoGpus, { gpuType: undefined, numGpus: undefined, ...config })).toEqual(hardware)
})

test('hardware is left out where no GPU is known', () => {
  const none = { gpuType: undefined, numGpus: undefined }
  expect(toHardware({ kind: 'none', why: 'no nvidia-smi' }, none)).toBeUndefined()
  expect(toHardware({ kind: 'unknown' }, { ...none, gpuType: 'nvidia' })).toBeUndefined()
})

test.each([
  ['the same with more keys', { ...bare, node_num: 4, base_url: '' }, []],
  ['null for no arguments', { ...bare, models: { [model]: { args: null } } }, []],
  ['other hardware', { ...bare, hardware: [{ type: 'Y', count: 9 }] }, []],
  ['another number', { ...bare, max_concurrent: 4 }, ['max_concurrent: 4 there, 5 here']],
  ['no record', undefined, ['not registered']],
  ['one more model', { ...bare, models: { ...bare.models, y: {} } }, ['models.y: there, not sent']],
  ['arguments', { ...bare, models: { [model]: { args: ['-x'] } } }, [`models.${model}.args: ["-x"] there, [] here`]],
])('a record that is listed with %s is compared by what we sent', (_, found, differences) => {
  expect(judgeDifferences({ ...bare, hardware: [{ type: 'X', count: 1 }] }, found)).toEqual(differences)
})

test('a list with odd entries is read, bare nodes of old versions too', () => {
  expect(pickListed([null, 'x', 3, { node: null }, { id: '0042', host: 'h' }], '0042')).toMatchObject({ enabled: true })
  expect(pickListed([{ node: { id: 'y' }, state: 7 }], '0042')).toBeUndefined()
})

test.each([
  [200, '{}', 'ok', undefined],
  [201, '[]', 'ok', undefined],
  [200, '<html>', 'transient', 'api-node-garbage'],
  [206, '{"errors":["a"]}', 'final', 'registration-partial'],
  [301, '', 'final', 'api-node-redirects'],
  [400, '{"error":"x"}', 'final', 'registration-refused'],
  [403, '', 'final', 'api-node-denies'],
  [404, '{"error":"Not Found"}', 'final', 'api-node-no-admin'],
  [429, '', 'transient', 'api-node-failing'],
  [500, '{"error":"failed to update node: validation failed: x"}', 'final', 'registration-refused'],
  [500, '{"error":"model m is not a valid governance model"}', 'final', 'model-not-governed'],
  [500, '{"error":"database is locked"}', 'transient', 'api-node-failing'],
  [503, '', 'transient', 'api-node-failing'],
])('an answer %i %s is %s', (status, text, kind, code) => {
  const verdict = judgeAnswer({ kind: 'answered', status, text }, 'POST x')
  expect(verdict.kind).toBe(kind)
  expect(verdict.kind === 'ok' ? undefined : verdict.code).toBe(code)
})

test('an error is read from every shape, on one line and bounded', () => {
  expect(readError('{"error":"a\\n b"}')).toBe('a b')
  expect(readError('{"error":{"error":"all failed","errors":["x","y"]}}')).toBe('all failed: x; y')
  expect(readError('')).toBe('nothing')
  expect(readError('z'.repeat(10_000))).toHaveLength(500)
})

test('retries lie anywhere in a window that doubles up to its cap', () => {
  expect(judgeRetry(defaultTiming, 1, 1)).toBe(defaultTiming.retryWindow)
  expect(judgeRetry(defaultTiming, 1, 0)).toBe(defaultTiming.retryWindow / 10)
  expect(judgeRetry(defaultTiming, 50, 1)).toBe(defaultTiming.retryCap)
})

test('every problem has a title and a remedy in the house style', () => {
  for (const { title, remedy } of Object.values(apiNodeProblems)) {
    expect(title).toMatch(/^([a-z]|PoC).*[^.]$/)
    expect(remedy).toMatch(/^[a-z].*[^.]$/)
  }
})
