// Leaving, coming back, and what an earlier CLIENT_ID left behind.
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import { gets, posts, rehearse, startPart, toEntry } from './support.ts'

const enabled = (node: Awaited<ReturnType<typeof rehearse>>, id = '0042') =>
  node.world.nodes.get(id)?.state.admin_state.enabled

test('leaving disables the node at every API node, deletes nothing, and registers nothing afterwards', async () => {
  const nodes = [await rehearse(), await rehearse()]
  const witness = await rehearse()
  await startPart([witness])
  const { part } = await startPart(nodes)
  await eventually('registered', () => part.status.value.health === 'ok')
  const results = await part.leave()
  expect(results.map(({ id, outcome }) => ({ id, outcome }))).toEqual([
    { id: '0042', outcome: 'disabled' },
    { id: '0042', outcome: 'disabled' },
  ])
  for (const node of nodes) expect(enabled(node)).toBe(false)
  expect(part.status.value.health).toBe('off')
  const before = nodes.map((node) => node.world.calls.length)
  const looks = gets(witness).length
  await eventually('whoever has not left looks again, twice', () => gets(witness).length >= looks + 3)
  expect(nodes.map((node) => node.world.calls.length)).toEqual(before)
})

test('the intent leave disables before the part ends', async () => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  await part.end('leave')
  expect(enabled(node)).toBe(false)
})

test.each(['stop', 'restart'] as const)('the intent %s changes nothing at an API node', async (intent) => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  await part.end(intent)
  expect(enabled(node)).toBe(true)
})

test('a node that left and starts again is enabled again', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  const first = await startPart([node], { stateDir })
  await eventually('registered', () => first.part.status.value.health === 'ok')
  await first.part.end('leave')
  const again = await startPart([node], { stateDir })
  await eventually('enabled', () => enabled(node) === true)
  await eventually('well', () => again.part.status.value.health === 'ok')
})

test('the record is deleted only when that is asked for', async () => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  expect(await part.leave({ remove: true })).toMatchObject([{ outcome: 'deleted' }])
  expect(node.world.nodes.size).toBe(0)
})

test('a delete that blocks is not waited for beyond its bound, and the answer says what may still happen', async () => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  node.world.faults.set([{ kind: 'hang', method: 'DELETE' }])
  const [result] = await part.leave({ remove: true, bound: 300 })
  expect(result).toMatchObject({ outcome: 'disabled', why: expect.stringContaining('up to 15 min later') })
})

test('leaving while an API node is away fails within its bound and says why', async () => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  await node.away()
  const [result] = await part.leave({ bound: 1_200 })
  expect(result).toMatchObject({ outcome: 'failed', why: expect.stringContaining('ECONNREFUSED') })
})

test('a changed CLIENT_ID says what is left behind, until it is left', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  const first = await startPart([node], { stateDir })
  await eventually('registered', () => first.part.status.value.health === 'ok')
  await first.part.end('restart')
  const { part } = await startPart([node], { stateDir, raw: { clientId: '0043' } })
  await eventually('said', () => part.status.value.problem?.code === 'registration-left-behind')
  const problem = part.status.value.problem
  expect(problem?.evidence).toContain('id 0042 at 127.0.0.1:')
  expect(problem?.remedy).toContain('gonka-node leave --id OLD')
  await eventually('registered', () => node.world.nodes.has('0043'))
  expect(enabled(node, '0042')).toBe(true)
  expect(await part.leave({ id: '0042' })).toMatchObject([{ id: '0042', outcome: 'disabled' }])
  await eventually('well again', () => part.status.value.health === 'ok')
  expect([enabled(node, '0042'), enabled(node, '0043')]).toEqual([false, true])
})

test('an old record that somebody else removed is forgotten', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  const first = await startPart([node], { stateDir })
  await eventually('registered', () => first.part.status.value.health === 'ok')
  await first.part.end('restart')
  node.world.nodes.clear()
  const { part } = await startPart([node], { stateDir, raw: { clientId: '0043' } })
  await eventually('well', () => part.status.value.health === 'ok')
})

test('an API node that is not configured any more can still be left', async () => {
  const [old, present] = [await rehearse(), await rehearse()]
  const stateDir = await tempDir()
  const first = await startPart([old], { stateDir })
  await eventually('registered', () => first.part.status.value.health === 'ok')
  await first.part.end('restart')
  const { part } = await startPart([present], { stateDir })
  await eventually('said', () => part.status.value.problem?.code === 'registration-left-behind')
  await eventually('registered where it is configured', () => present.world.nodes.has('0042'))
  const results = await part.leave({ id: '0042' })
  expect(results.map(({ outcome }) => outcome)).toEqual(['disabled', 'disabled'])
  expect(enabled(old)).toBe(false)
})

test('leaving an id that nobody knows says so', async () => {
  const node = await rehearse()
  const { part } = await startPart([node])
  await eventually('registered', () => part.status.value.health === 'ok')
  expect(await part.leave({ id: '0999' })).toMatchObject([{ id: '0999', outcome: 'unknown-there' }])
})

test('a restart finds its record and posts nothing', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  for (const _ of [1, 2, 3]) {
    const { part } = await startPart([node], { stateDir })
    await eventually('registered', () => part.status.value.health === 'ok')
    await part.end('restart')
  }
  expect(posts(node)).toHaveLength(1)
  expect((await stat(join(stateDir, 'registrations.json'))).mode & 0o777).toBe(0o600)
})

test('a memory that cannot be read is begun anew', async () => {
  const node = await rehearse()
  const stateDir = await tempDir()
  await writeFile(join(stateDir, 'registrations.json'), '{"records": [{"id": 4')
  const { part } = await startPart([node], { stateDir })
  await eventually('registered', () => part.status.value.health === 'ok')
  await eventually('written', async () =>
    (await readFile(join(stateDir, 'registrations.json'), 'utf8')).includes('0042'),
  )
})

test('a memory that cannot be written is a problem, and the node registers all the same', async () => {
  const node = await rehearse()
  const folder = await tempDir()
  const stateDir = join(folder, 'file')
  await writeFile(stateDir, 'not a folder')
  const { part, view } = await startPart([node], { stateDir })
  await eventually('registered', () => view()?.phase === 'registered')
  await eventually('said', () => part.status.value.problem?.code === 'registrations-not-saved')
})

test('a record that is there already is taken over without a POST', async () => {
  const node = await rehearse()
  node.world.nodes.set(
    '0042',
    toEntry({ max_concurrent: 500, models: { 'Qwen/Qwen3-32B-FP8': { args: ['--max-model-len', '4096'] } } }),
  )
  const { view } = await startPart([node])
  await eventually('registered', () => view()?.phase === 'registered')
  expect(gets(node).length).toBeGreaterThan(0)
  expect(posts(node)).toEqual([])
})
