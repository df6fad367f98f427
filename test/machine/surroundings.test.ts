// A machine that is not as it should be: each day is a stated condition, the node answers, and most heal without a restart.
import { rename, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { renderSafetensors, writeModel } from '../models/model-folder.ts'
import { startWorld, type World } from './world.ts'

const state = async ({ node }: World) =>
  (await fetch(`${node}/api/v1/state`, { signal: AbortSignal.timeout(3000) })).status

test('P29 a port that is taken is named with who holds it, and opened as soon as it is free', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  const holder = createServer((_, response) => response.end('somebody else'))
  await new Promise<void>((resolve) => void holder.listen(world.ports.node, '127.0.0.1', resolve))
  world.start()
  const part = await world.untilProblem('listener node', 'port-taken')
  expect(part.problem?.evidence).toMatch(new RegExp(`${world.ports.node}.*pid ${process.pid}`))
  await world.untilPart('fleet', 'serves meanwhile', ({ health }) => health === 'ok')
  holder.closeAllConnections()
  await new Promise((resolve) => holder.close(resolve))
  await world.untilRegistered()
  expect(await state(world)).toBe(200)
})

test('a vLLM environment that is missing is a problem with its path, and is used as soon as it is there', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  const venv = join(world.machine.folder, 'venv')
  await rename(venv, `${venv}-elsewhere`)
  world.start()
  const part = await world.untilProblem('fleet', 'venv-missing')
  expect(part.problem?.evidence).toContain(join(venv, 'bin/python'))
  expect(await state(world)).toBe(200)
  expect(world.apiNode.world.nodes.size).toBe(0)
  await rename(`${venv}-elsewhere`, venv)
  await world.untilRegistered(45_000)
})

test('a model without one of its shards is not launched: the shard is named', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  const snapshot = join(
    world.machine.folder,
    'huggingface/hub/models--rehearsal--tiny-1b/snapshots/0123456789abcdef0123456789abcdef01234567',
  )
  await rename(join(snapshot, 'model.safetensors'), join(snapshot, 'model-00001-of-00002.safetensors'))
  const shards = { weight: 'model-00001-of-00002.safetensors', other: 'model-00002-of-00002.safetensors' }
  await writeFile(join(snapshot, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: shards }))
  world.start()
  const { problem } = await world.untilPart('models', 'names a problem', (part) => part.problem !== undefined)
  expect(problem?.evidence).toContain('model-00002-of-00002.safetensors')
  expect(await state(world)).toBe(200)
  expect((await world.processes()).filter(({ kind }) => kind === 'engine')).toEqual([])
})

test('a hanging nvidia-smi is told as a hanging driver while the node answers; when it answers again the node earns', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  const knobs = join(world.machine.gpuState, 'knobs')
  await writeFile(knobs, 'HANG=1\n')
  world.start()
  await world.untilPart('listener node', 'listens', ({ health }) => health === 'ok')
  expect(await state(world)).toBe(200)
  await world.untilProblem('gpu', 'gpu-driver-hangs', 40_000)
  await writeFile(knobs, '')
  await world.untilRegistered(45_000)
}, 90_000)

test('a machine without nvidia-smi and without GPUs says that its profile needs one', async () => {
  const world = await startWorld({ gpus: 0 })
  await world.untilProblem('fleet', 'gpus-absent')
  expect(await state(world)).toBe(200)
})

test('a boot that breaks half way ends the process with 70, so that the next one can try', async () => {
  const world = await startWorld({ gpus: 1, start: false })
  const bug = `process.getBuiltinModule('node:http').createServer = () => { throw new Error('a bug of the boot') }`
  world.environment['NODE_OPTIONS'] = `--import=data:text/javascript,${encodeURIComponent(bug)}`
  expect(await world.start().ended).toBe(70)
  expect(await world.log()).toContain('a bug of the boot')
  world.environment = {}
  world.start()
  await world.untilRegistered()
})

test('an order for a model that is nowhere leaves nothing behind, and costs what runs nothing; what is ordered is read ahead', async () => {
  const world = await startWorld({ gpus: 1, scale: 1, set: { HF_HUB_OFFLINE: '1', PARALLEL_READERS: '1' } })
  await world.untilRegistered()
  const order = async (model: string) => {
    const body = JSON.stringify({ model, dtype: 'auto' })
    return (await fetch(`${world.node}/api/v1/inference/up`, { method: 'POST', body })).status
  }
  const before = await world.engines()
  expect(await order('nobody/has-it')).toBe(500)
  expect((await world.engines()).map(({ pid }) => pid)).toEqual(before.map(({ pid }) => pid))
  expect(await order('rehearsal/tiny-1b')).toBe(200)
  const models = await world.untilPart('models', 'is well again', ({ health }) => health === 'ok')
  expect(models.parts?.map(({ name }) => name)).toEqual(['rehearsal/tiny-1b'])

  // 64 GB that take no room on the disk: the engine waits for none of them.
  const huge = join(world.machine.folder, 'huge')
  await writeModel(huge)
  await writeFile(
    join(huge, 'model.safetensors.index.json'),
    JSON.stringify({ weight_map: { w: 'model.safetensors' } }),
  )
  const head = renderSafetensors(2 ** 36, 0)
  await writeFile(join(huge, 'model.safetensors'), head)
  await truncate(join(huge, 'model.safetensors'), head.length + 2 ** 36)
  const answer = order(huge)
  const isReading = ({ summary }: { summary: string }) => /^reading ahead [\d.]+ of \d\d+\.\d GB$/.test(summary)
  await world.untilPart('page-cache', 'reads', isReading)
  expect((await world.engines()).map(({ pid }) => typeof pid)).toEqual(['number'])
  expect(await world.part('page-cache')).toSatisfy(isReading)
  expect(await answer).toBe(200)
})
