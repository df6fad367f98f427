// The verbs about launches on a machine that has a model of its own and loads slowly: what is seen meanwhile, and what ends it.
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import type { LaunchResponse } from '../../src/api/launches.ts'
import { model } from '../machine/asks.ts'
import { call, start } from '../machine/command.ts'
import { startWorld, type World } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'

const patience = 60_000

/** Stands alone: a broker would start again what an operator stops. */
const alone = { API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '' }

/** Long enough to be seen loading on a busy machine, also by a process that must start first. */
const loadMs = '4000'

async function startOwn() {
  const world = await startWorld({
    gpus: 3,
    set: { ...alone, NODE_GPUS: '0', REHEARSAL_LOAD_MS: loadMs },
    environment: { CUDA_VISIBLE_DEVICES: '0,1,2' },
  })
  const fine = async (...words: string[]) => {
    const found = await call(world, ...words)
    expect({ words, ...found }).toMatchObject({ words, code: 0 })
    return found
  }
  const list = async (...words: string[]) =>
    JSON.parse((await fine('launches', '--json', ...words)).out) as LaunchResponse[]
  const own = await eventually(
    'the node has its launch',
    async () => {
      const { code, out } = await call(world, 'launches', '--json')
      const [first] = code === 0 ? (JSON.parse(out) as LaunchResponse[]) : []
      return first?.gpu_ids.length === 1 ? first : undefined
    },
    patience,
    200,
  )
  return { world, fine, list, own }
}

/** A verb as a process, with what it has written so far. */
function watch(world: World, ...words: string[]) {
  const child = start(world, words)
  const heard = { out: '', err: '' }
  child.stdout?.on('data', (part: Buffer) => (heard.out += part.toString()))
  child.stderr?.on('data', (part: Buffer) => (heard.err += part.toString()))
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, heard, closed }
}

test(
  "progress, Ctrl-C, every flag, the queue, and the node's own model stopped by force and started again",
  {
    // Some thirty processes, one after the other.
    timeout: 300_000,
  },
  async () => {
    const { world, fine, list, own } = await startOwn()

    const waiting = watch(world, 'launch', model, '--gpus', '1', '--name', 'left', '--wait')
    await eventually(
      'a stage with percent and seconds',
      () => /: loading .*, \d+ %, \d+ s\n/.test(waiting.heard.err),
      patience,
    )
    waiting.child.kill('SIGINT')
    expect(await waiting.closed).toBe(130)
    const left = (await list()).find(({ name }) => name === 'left')
    const id = left?.launch_id.slice(0, 8)
    expect(waiting.heard.err).toMatch(new RegExp(`\nlaunch ${id} goes on; \`gonka-node stop ${id}\` stops it\n$`))
    expect([waiting.heard.out, left?.state === 'bootstrapping' || left?.state === 'ready']).toEqual(['', true])

    const made = await fine(
      ...`launch ${model} --gpu-count 1 --min-free-mib 100 --task embed --name vectors --ttl 1h --idle-stop 30m`.split(
        ' ',
      ),
      ...`--set seed=7 --set hf-overrides={"a":1} --json`.split(' '),
    )
    expect(JSON.parse(made.out)).toMatchObject({
      gpu_ids: [2],
      task: 'embed',
      name: 'vectors',
      ttl_seconds: 3600,
      idle_stop_seconds: 1800,
    })
    const queued = await fine('launch', model, '--gpu-count', '1', '--queue')
    expect(queued.out).toMatch(
      /^[0-9a-f-]{36}\nrehearsal\/tiny-1b is bootstrapping: waits for GPUs, place 1 in the queue/,
    )
    const [third = ''] = queued.out.split('\n')
    expect((await fine('launches')).out).toMatch(/^[0-9a-f]{8} +\(node\) [^]*waits for GPUs, place 1 in the queue/m)
    const never = await call(world, 'launch', model, '--gpu-count', '1', '--min-free-mib', '99999999')
    expect([never.code, never.out]).toEqual([1, ''])
    const tooMany = await call(world, 'launch', model, '--gpus', '1', '--wait', '--timeout', '1s')
    expect([tooMany.code, tooMany.err]).toEqual([1, expect.stringMatching(/Requested GPUs are in use \(gpu 1 -> /)])

    // Its log is followed from before its engine is there to its end; a typed name is put right.
    const log = watch(world, 'logs', third, '-f')
    expect((await fine('stop', 'left')).out).toBe(`launch ${id} is stopped\n`)
    await eventually(
      'it has the GPU',
      async () => (await list()).some((one) => one.launch_id === third && one.gpu_ids[0] === 1),
      patience,
      200,
    )
    await eventually('its log comes', () => log.heard.out.includes('non-default args'), patience)
    const typo = await call(world, 'stop', 'vectros')
    expect([typo.code, typo.err]).toEqual([1, expect.stringContaining('did you mean vectors?')])
    const slow = await call(world, 'launch', '--node', '--wait', '--timeout', '1s')
    expect(slow.code).toBe(slow.err.includes('does not serve after 1 s; it goes on') ? 1 : 0)
    expect((await fine('stop', third)).out).toMatch(/is stopped\n$/)
    expect(await log.closed).toBe(0)
    expect((await fine('logs', 'vectors')).out).toContain('\'hf_overrides\': {"a":1}')

    const held = await call(world, 'stop', own.launch_id)
    expect([held.code, held.err]).toEqual([
      1,
      expect.stringMatching(/is the model of this node; .*\n {2}repeat it with force/),
    ])
    expect((await fine('stop', own.launch_id.slice(0, 8), '--force')).out).toMatch(/is stopped\n$/)
    expect((await list()).map(({ name }) => name)).toEqual(['vectors'])
    const again = await fine('launch', '--node', '--wait')
    expect(again.out).toBe(`${own.launch_id}\n`)
    expect(again.err).toMatch(/^rehearsal\/tiny-1b: /)
    expect(JSON.parse((await fine('launch', '--node', '--json')).out)).toMatchObject({
      state: 'ready',
      owner: 'configuration',
    })

    // A machine that is watched through a restart of its daemon.
    const stats = watch(world, 'stats', '--watch', '--json')
    const seen: unknown[] = []
    createInterface({ input: stats.child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      seen.push(JSON.parse(line)),
    )
    await eventually('stats once', () => seen.length > 0, patience)
    await world.kill('SIGKILL')
    const before = seen.length
    world.start()
    await eventually('stats of the next daemon', () => seen.length > before + 1, patience)
    expect(seen.at(-1)).toMatchObject({ gpu_count: 3, gpus: [{ gpu_id: 0 }, { gpu_id: 1 }, { gpu_id: 2 }] })
    stats.child.kill('SIGINT')
    await stats.closed

    const failed = await call(world, 'launch', model, '--gpus', '1', '--set', 'no_such_flag=1', '--wait', '--json')
    expect([failed.code, JSON.parse(failed.out)]).toEqual([
      1,
      expect.objectContaining({ state: 'failed', error: expect.stringContaining('no-such-flag') as string }),
    ])
  },
)
