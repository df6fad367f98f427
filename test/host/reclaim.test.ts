import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { silentLog } from '../../src/core/log.ts'
import { until } from '../../src/core/watch.ts'
import { createMetadata, type MetadataAnswer } from '../../src/host/metadata.ts'
import { parseNotice, startReclaim } from '../../src/host/reclaim.ts'
import { type MetadataKnobs, startRehearsalMetadata } from '../../src/rehearsal/metadata.ts'
import { eventually } from '../support/eventually.ts'

const bound = () => AbortSignal.timeout(20_000)

async function start(knobs: Partial<MetadataKnobs>) {
  const imds = await startRehearsalMetadata(knobs)
  const reclaim = startReclaim({ metadata: createMetadata({ url: imds.url }), log: silentLog, every: 30 })
  onTestFinished(async () => {
    await reclaim.end('stop')
    await imds.end()
  })
  return { imds, reclaim }
}

test('a spot notice is seen with its time, and outranks the rebalance advice that came before it', async () => {
  const { imds, reclaim } = await start({ rebalanceAfter: 0 })
  expect(await until(reclaim.notice, (one) => one?.kind === 'rebalance', bound())).toMatchObject({ urgency: 'advise' })
  imds.knobs.spotAfter = 0
  const notice = await until(reclaim.notice, (one) => one?.kind === 'spot', bound())
  expect(notice).toMatchObject({ urgency: 'leave', action: 'terminate' })
  expect(notice?.at?.getTime()).toBeGreaterThan(Date.now())
  expect(reclaim.status.peek()).toMatchObject({ health: 'degraded', problem: { code: 'reclaim-notice' } })
})

test.for([
  ['of a group', 'InService', 1],
  ['of no group', undefined, 12],
] as const)(
  'an instance %s is asked for advice with each twelfth look, for its end as often as need be',
  async (row) => {
    const [, lifecycle, looks] = row
    const { imds } = await start({ lifecycle })
    const count = (path: string) => imds.requests.filter((one) => one.endsWith(path)).length
    const looked = () => count('/spot/instance-action')
    await eventually('many looks', () => looked() >= 26)
    for (const [path, every] of [
      ['/recommendations/rebalance', 12],
      ['/maintenance/scheduled', 12],
      ['/autoscaling/target-lifecycle-state', looks],
    ] as const) {
      // The last look may not have come to it.
      expect(count(path)).toBeGreaterThanOrEqual(Math.ceil(looked() / every) - 1)
      expect(count(path)).toBeLessThanOrEqual(Math.ceil(looked() / every))
    }
  },
)

test('whether it is in a group is asked with each look until it has said so', async () => {
  const asked: string[] = []
  const isGroup = (path: string) => path.endsWith('/target-lifecycle-state')
  const get = (path: string): Promise<MetadataAnswer> => {
    asked.push(path)
    const isMissed = isGroup(path) && asked.filter(isGroup).length <= 2
    return Promise.resolve(isMissed ? { kind: 'absent', why: 'no answer within 1000 ms' } : { kind: 'none' })
  }
  const reclaim = startReclaim({ metadata: { enabled: true, get }, log: silentLog, every: 10 })
  onTestFinished(() => reclaim.end('stop'))
  await eventually('it has said so', () => asked.filter(isGroup).length >= 3)
  const kinds = asked.map((path) => path.split('/').at(-1))
  const third = asked.flatMap((path, at) => (isGroup(path) ? [at] : []))[2]
  expect(kinds.slice(0, third).filter((kind) => kind === 'instance-action')).toHaveLength(3)
})

test('a service that falls silent takes no notice back; one that says 404 does', async () => {
  const { imds, reclaim } = await start({ lifecycle: 'Terminated' })
  await until(reclaim.notice, (one) => one?.kind === 'lifecycle', bound())
  const before = imds.requests.length
  imds.knobs.mode = 'hang'
  await eventually('asked again', () => imds.requests.length > before)
  expect(reclaim.notice.peek()?.kind).toBe('lifecycle')
  imds.knobs.mode = 'v2'
  imds.knobs.lifecycle = 'InService'
  await until(reclaim.notice, (one) => one === undefined, bound())
  expect(reclaim.status.peek().health).toBe('ok')
})

test('a service that misses a question, at the boot of a busy machine or later, is asked again soon', async () => {
  const imds = await startRehearsalMetadata({ mode: 'hang' })
  // No time passes, so whoever waits a minute waits for ever.
  const clock = { ...systemClock, now: () => 0 }
  const metadata = createMetadata({ url: imds.url, timeout: 200 })
  const reclaim = startReclaim({ metadata, log: silentLog, clock, every: 30 })
  onTestFinished(async () => {
    await reclaim.end('stop')
    await imds.end()
  })
  await until(reclaim.status, (one) => one.health === 'off', bound())
  imds.knobs.mode = 'v2'
  await until(reclaim.status, (one) => one.health === 'ok', bound())
  imds.knobs.mode = 'hang'
  const before = imds.requests.length
  await eventually('it is asked and asked again', () => imds.requests.length > before + 3)
  imds.knobs.mode = 'v2'
  imds.knobs.spotAfter = 0
  expect(await until(reclaim.notice, (one) => one !== undefined, bound())).toMatchObject({ kind: 'spot' })
})

test('a machine without metadata is no problem', async () => {
  const reclaim = startReclaim({ metadata: createMetadata({ url: 'http://127.0.0.1:9' }), log: silentLog })
  onTestFinished(() => reclaim.end('stop'))
  const status = await until(reclaim.status, (one) => one.health === 'off', bound())
  expect(status.problem).toBeUndefined()
})

test.for([
  ['maintenance', '[]', undefined],
  [
    'maintenance',
    '[{"Code":"system-reboot","NotBefore":"21 Jan 2027 09:00:43 GMT","State":"active"}]',
    'system-reboot',
  ],
  ['maintenance', '[{"Code":"system-reboot","State":"completed"}]', undefined],
  ['lifecycle', 'InService', undefined],
  ['lifecycle', 'Terminated:Wait', 'Terminated:Wait'],
  ['spot', 'garbage', undefined],
  ['spot', '{"action":"stop","time":"never"}', 'stop'],
] as const)('%s %s announces %s', ([kind, text, action]) => {
  expect(parseNotice(kind, text)?.action).toBe(action)
})
