// What the verbs make of the daemon's answers: words for people, JSON for programs, exit 1 where something is wrong. The daemon is a
// real socket with answers that are made up.
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { LaunchResponse } from '../../src/api/launches.ts'
import type { Problem } from '../../src/api/status.ts'
import { runCommand } from '../../src/cli/main.ts'
import { renderFailure, renderLaunches, renderProgress } from '../../src/cli/render-launch.ts'
import { renderStats } from '../../src/cli/stats.ts'
import { type SocketRoutes, startSocket } from '../../src/control/socket.ts'
import { silentLog } from '../../src/core/log.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

const plain = { write: () => {}, complain: () => {}, colours: false, columns: 100 }

async function daemonThat(routes: SocketRoutes) {
  const path = join(await tempDir(), 'control.sock')
  const socket = startSocket({ path, routes, log: silentLog })
  onTestFinished(() => socket.end('stop'))
  await eventually('it listens', () => socket.status.value.health === 'ok')
  return async (...words: string[]) => {
    const heard = { code: 0, out: '', err: '' }
    const out = {
      ...plain,
      write: (text: string) => void (heard.out += text),
      complain: (text: string) => void (heard.err += `${text}\n`),
    }
    heard.code = await runCommand([...words, '--socket', path], out)
    return heard
  }
}

const since = new Date(Date.now() - 90_000).toISOString()
const problem: Problem = { code: 'it-broke', title: 'it broke', evidence: 'a line', remedy: 'mend it' }
const told = /it broke \[it-broke\]\n {2}seen: a line\n {2}do: {3}mend it\n/

const engine = {
  id: 'e',
  slot: 1,
  model: 'org/m',
  gpus: [2, 3],
  port: 5002,
  phase: 'loading',
  stage: 'loading weights',
  percent: 41.7,
  pid: 77,
  adopted: true,
  since,
  restarts: 2,
}
const tunnel = {
  server: { host: 'fd00::1', port: 7000 },
  phase: 'down',
  inferenceRemotePort: 10_042,
  nodeRemotePort: 20_042,
  since,
}
const apiNode = {
  address: '10.0.0.1:9200',
  phase: 'differs',
  since,
  differences: ['max_concurrent: 400 there, 500 here'],
}
const part = { name: 'poc', health: 'degraded', summary: 'no batch is delivered', since }

test.each([
  ['engines', 'GET /engines', [engine], /^1 +loading +1m +77 +5002 +2,3 +2 +org\/m +loading weights, 42 %, adopted$/m],
  ['tunnels', 'GET /tunnels', [tunnel], /^\[fd00::1\]:7000 +down +1m +10042 +20042$/m],
  ['api-nodes', 'GET /api-nodes', [apiNode], /^10\.0\.0\.1:9200 +differs +1m [^]*400 there, 500 here$/m],
] as const)('%s: a row each; exit 1 with what to do where one has a problem', async (verb, route, value, row) => {
  const [one] = value
  const fine = await daemonThat({ [route]: async () => value })
  expect(await fine(verb)).toMatchObject({ code: 0, err: '', out: expect.stringMatching(row) as string })
  const sick = await daemonThat({ [route]: async () => [{ ...one, problem }] })
  expect(await sick(verb)).toMatchObject({ code: 1, err: '', out: expect.stringMatching(told) as string })
  const json = await sick(verb, '--json')
  expect([json.code, JSON.parse(json.out)]).toEqual([1, [{ ...one, problem }]])
  const empty = await daemonThat({ [route]: async () => [] })
  expect(await empty(verb)).toMatchObject({ code: 0, out: expect.stringMatching(/^(no|stands alone)/) as string })
})

test('poc: engines and what is wrong; stop ends the round and shows what is left of it', async () => {
  const asked: string[] = []
  const healthy = {
    part: { ...part, health: 'ok', parts: [{ ...part, name: 'engine 0', summary: '5 nonces/s' }] },
    round: null,
  }
  const fine = await daemonThat({
    'GET /poc': async () => healthy,
    'POST /poc/stop': async () => void asked.push('stop'),
  })
  expect(await fine('poc')).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^engine 0 +degraded +5 nonces\/s$/m) as string,
  })
  expect(asked).toEqual([])
  expect(JSON.parse((await fine('poc', 'stop', '--json')).out)).toEqual(healthy)
  expect(asked).toEqual(['stop'])
  const sick = await daemonThat({ 'GET /poc': async () => ({ part: { ...part, problem }, round: null }) })
  expect(await sick('poc')).toMatchObject({ code: 1, out: expect.stringMatching(told) as string })
  expect((await sick('poc', '--json')).code).toBe(1)
})

test('leave: exit 1 where an API node could not be told, and the wish goes as it was given', async () => {
  const asked: unknown[] = []
  const results = [
    { apiNode: 'a:1', id: '0041', outcome: 'deleted' },
    { apiNode: 'b:1', id: '0041', outcome: 'failed', why: 'it hangs' },
  ]
  const run = await daemonThat({
    'POST /api-nodes/leave': async ({ body }) => {
      asked.push(body)
      return results.slice(0, asked.length)
    },
  })
  expect(await run('leave')).toMatchObject({ code: 0, out: expect.stringMatching(/^a:1 +0041 +deleted$/m) as string })
  const failed = await run('leave', '--id', '0041', '--delete', '--json')
  expect([failed.code, JSON.parse(failed.out)]).toEqual([1, results])
  expect(asked).toEqual([{ remove: false }, { id: '0041', remove: true }])
})

test('what the daemon refuses is told with its remedy, and a bug of it is not taken for an answer', async () => {
  const run = await daemonThat({
    'GET /engines': async () => {
      throw new Error('boom')
    },
  })
  expect(await run('engines')).toEqual({ code: 1, out: '', err: 'gonka-node engines: boom\n' })
  const older = await run('tunnels')
  expect(older).toMatchObject({
    code: 1,
    err: expect.stringContaining('this daemon has no GET /tunnels\n  use the') as string,
  })
})

const launch: LaunchResponse = {
  launch_id: '12345678-aaaa',
  model: 'org/m',
  gpu_ids: [0, 1],
  task: 'generate',
  state: 'bootstrapping',
  created_at: since,
  updated_at: since,
  error: null,
}

test.each([
  [{ progress: { stage: 'loading weights', percent: 41.7, seconds: 12.4 } }, 'loading weights, 42 %, 12 s'],
  [{ progress: { stage: 'compiling', seconds: 61 } }, 'compiling, 61 s'],
  [{ progress: { percent: 0 } }, '0 %'],
  [{}, ''],
  [{ queue_position: 2 }, 'waits for GPUs, place 2 in the queue'],
  [
    { queue_position: 1, progress: { stage: 'waiting for GPUs: launch x has GPU 0' } },
    'waits for GPUs, place 1 in the queue: launch x has GPU 0',
  ],
  [{ diagnosis: problem, error: 'it broke\nmore' }, 'it broke [it-broke]'],
  [{ error: 'Traceback\n  line\nValueError: no\n' }, 'ValueError: no'],
])('of %j a person reads %j', (more, text) => {
  expect(renderProgress({ ...launch, ...more })).toBe(text)
  expect(renderLaunches([{ ...launch, ...more }], plain, Date.now())).toMatch(
    new RegExp(`^12345678 +- +org/m +generate +0,1 +bootstrapping +1m *${text.replaceAll(/[[\]]/g, '\\$&')}\n`, 'm'),
  )
})

test('why a launch failed is under the list, and the bare error where nothing is known of it', () => {
  const failed = { ...launch, state: 'failed' as const, diagnosis: problem, error: 'it broke' }
  expect(renderLaunches([failed], plain, Date.now())).toMatch(told)
  expect(renderFailure({ ...failed, diagnosis: undefined } as never)).toBe('launch 12345678: it broke\n')
})

test('stats tell what is not known as such, and why there is no GPU', () => {
  const nothing = {
    collected_at: since,
    load_avg_1m: null,
    load_avg_5m: 1,
    load_avg_15m: 2.345,
    cpu_count: null,
    memory_total_bytes: null,
    memory_available_bytes: null,
    memory_used_bytes: null,
    memory_utilization_percent: null,
    host_memory_error: 'no meminfo',
    gpu_count: 0,
    gpus: [],
    nvidia_smi_error: 'nvidia-smi is unavailable on this host.',
  }
  expect(renderStats(nothing)).toBe(
    'load    ? 1.00 2.35 on ? CPUs\nmemory  no meminfo\n\nno GPU: nvidia-smi is unavailable on this host.\n',
  )
  const gpu = {
    gpu_id: 3,
    uuid: null,
    name: 'H200',
    utilization_percent: 96.6,
    memory_total_mib: 100,
    memory_used_mib: null,
    memory_free_mib: null,
    temperature_c: 55,
    power_draw_watts: null,
    power_limit_watts: 700.4,
  }
  expect(renderStats({ ...nothing, gpus: [gpu] })).toMatch(/^3 +H200 +97 % +\? \/ 100 MiB +55 °C +\? \/ 700 W$/m)
})
