// The fleet with real processes: rehearsal engines in a venv in miniature, the system's clock, real adoption.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import { slices } from '../../src/config/schema.ts'
import { silentLog } from '../../src/core/log.ts'
import { createLives } from '../../src/fleet/lives.ts'
import { startFleet } from '../../src/fleet/start-fleet.ts'
import type { Inventory } from '../../src/gpu/inventory.ts'
import type { Files } from '../../src/models/files.ts'
import { writeVenv } from '../../src/rehearsal/engine-venv.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'
import { toConfig, toGpus } from './bed.ts'

async function realBed(engine: Record<string, string>, knobs: Record<string, string>) {
  const root = await tempDir()
  const config = toConfig(
    root,
    { profile: '', pythonPath: await writeVenv(join(root, 'venv'), 'plugin'), ...engine },
    {
      listeners: slices.listeners.parse({ inferencePort: String(await freePort()) }),
      engineEnv: Object.fromEntries(Object.entries(knobs).map(([name, value]) => [`REHEARSAL_${name}`, value])),
    },
  )
  const lives = () =>
    createLives({
      log: silentLog,
      livesFolder: join(root, 'engines'),
      logDir: join(root, 'logs'),
      times: { start: 60_000, stop: 3000, drain: 1000, hangGrace: 0 },
    })
  const start = () => {
    const fleet = startFleet({
      config,
      files: () => signal<Files>({ kind: 'ready', path: join(root, 'model') }),
      inventory: signal<Inventory>(toGpus(1)),
      instanceId: undefined,
      lives: lives(),
      engineHome: { home: root },
      log: silentLog,
    })
    onTestFinished(() => fleet.end('stop'))
    return fleet
  }
  const loads = async () => (await readdir(join(root, 'logs'))).length
  return { start, loads }
}

test('a reboot with a registered record: the broker stops and orders during the load, and the model is loaded once', async () => {
  const { start, loads } = await realBed({ extraArgs: '--max-model-len 8192' }, { LOAD_MS: '2500' })
  const fleet = start()
  await eventually('loading', () => fleet.orders.service.value === 'INFERENCE')
  const registered = await eventually('the registered arguments', () => fleet.configuredArgs.value)
  // Chain arguments first, local ones for keys that the chain does not set; dtype is always "auto".
  const order = { model: 'Test/A', dtype: 'auto', additionalArgs: ['--max-model-len=8192', ...registered.slice(0, 4)] }
  for (let round = 0; round < 3; round += 1) {
    fleet.orders.stop()
    expect(fleet.orders.service.value).toBe('STOPPED')
    await fleet.orders.up(order, AbortSignal.timeout(200)).catch(() => {})
    expect(fleet.orders.service.value).toBe('INFERENCE')
  }
  await fleet.orders.up(order, AbortSignal.timeout(20_000))
  expect(fleet.upstreams.value.map((one) => one.state.value)).toEqual(['serving'])
  expect(await loads()).toBe(1)
})

test('a daemon that restarts in the middle of the load and of an order adopts the engine', async () => {
  const { start, loads } = await realBed({}, { LOAD_MS: '2500' })
  const first = start()
  await eventually('loading', () => first.engines.value.some((one) => one.pid !== undefined))
  const pid = first.engines.value[0]?.pid
  first.orders.stop()
  await first.end('restart')
  const second = start()
  await eventually('parked by the stop before', () =>
    second.engines.value.some((one) => one.adopted && one.phase === 'parked'),
  )
  await second.orders.up({ model: 'Test/A', dtype: 'auto', additionalArgs: [] }, AbortSignal.timeout(20_000))
  expect(second.engines.value).toMatchObject([{ pid, adopted: true, phase: 'serving' }])
  expect(await loads()).toBe(1)
  await second.end('stop')
  expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH')
})
