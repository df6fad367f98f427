import { expect, test } from 'vitest'
import type { Planned } from '../src/fleet/fleet.ts'
import { pickPreRead } from '../src/pre-read.ts'

const plan = (owner: Planned['owner']): Planned => ({
  model: 'm',
  instances: 1,
  gpusPerEngine: 1,
  hasPoc: true,
  owner,
})
const named = { kind: 'ready', path: '/named' } as const
const looking = { kind: 'looking' } as const
const argv = ['-m', 'vllm.entrypoints.openai.api_server', '--model', '/ordered', '--port', '5001']
const loading = { phase: 'loading', adopted: false } as const

test.each([
  ['the model of the configuration, before anything is planned', {}, named],
  ['and while it is what runs', { planned: plan('configuration'), engines: [loading] }, named],
  ['an ordered one while its engine loads', { planned: plan('broker'), engines: [loading] }, { path: '/ordered' }],
  ['nothing before its engine is launched', { planned: plan('broker') }, looking],
  ['nor what an engine serves', { planned: plan('broker'), engines: [{ ...loading, phase: 'serving' }] }, looking],
  ['nor what an adopted one loads', { planned: plan('broker'), engines: [{ ...loading, adopted: true }] }, looking],
  [
    'nor a model without weights',
    { planned: plan('broker'), engines: [loading], args: [...argv, '--load-format', 'dummy'] },
    looking,
  ],
  [
    'nor one that the engine streams by itself',
    { planned: plan('broker'), engines: [loading], args: ['--model', 's3://bucket/x'] },
    looking,
  ],
] as const)('read ahead is %s', (_, seen, files) => {
  expect(pickPreRead({ planned: undefined, engines: [], args: argv, named, ...seen })).toMatchObject(files)
})

test('without a model of its own a node reads what is ordered, and nothing else', () => {
  const seen = { engines: [loading], args: argv, named: undefined }
  expect(pickPreRead({ ...seen, planned: undefined })).toEqual(looking)
  expect(pickPreRead({ ...seen, planned: plan('broker') })).toEqual({ kind: 'ready', path: '/ordered' })
})
