// The verbs about launches against a daemon that really runs.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import type { LaunchResponse } from '../../src/api/launches.ts'
import { runCommand } from '../../src/cli/main.ts'
import { pickLaunch } from '../../src/cli/pick-launch.ts'
import { startLaunchWorld } from '../conformance/launch-world.ts'
import { model } from '../machine/asks.ts'
import { eventually } from '../support/eventually.ts'
import { call, start } from '../machine/command.ts'

test(
  'a launch from the first word to the last: launch, launches, complete, logs, stats, stop',
  { timeout: 240_000 },
  async () => {
    const { world } = await startLaunchWorld()
    const fine = async (...words: string[]) => {
      const found = await call(world, ...words)
      expect({ words, code: found.code, err: found.err }).toMatchObject({ words, code: 0 })
      expect(found.out).not.toContain('\u001B')
      return found
    }
    expect((await fine('launches')).out).toMatch(/^no launches; /)

    const launched = await fine(
      'launch',
      model,
      '--gpus',
      '0-0',
      '--name',
      'first',
      '--set',
      'max_model_len=2048',
      '--wait',
    )
    const id = launched.out.trim()
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    // Elsewhere than on a terminal each stage is a line of its own.
    expect(launched.err).toMatch(new RegExp(`^${model}: .*\\n`))

    expect((await fine('launches')).out).toMatch(
      new RegExp(`^${id.slice(0, 8)} +first +${model} +generate +0 +ready `, 'm'),
    )
    const [listed] = JSON.parse((await fine('launches', '--json')).out) as LaunchResponse[]
    expect(listed).toMatchObject({ launch_id: id, name: 'first', state: 'ready' })
    expect((await fine('complete', 'first', 'Once upon a time', '--max-tokens', '3')).out.trim()).not.toBe('')
    const whole = JSON.parse((await fine('complete', id.slice(0, 8), 'a', '--max-tokens', '3', '--json')).out) as object
    expect(whole).toMatchObject({ finish_reason: 'length', completion_tokens: 3 })
    const schema = '{"type":"object","properties":{"a":{"type":"integer"}}}'
    const file = join(world.machine.folder, 'schema.json')
    await writeFile(file, schema)
    const guided: [string[], string][] = [
      [['--choice', 'yes', '--choice', 'no'], 'yes'],
      [['--regex', '[ab]+'], '[ab]+'],
      [['--grammar', 'start: "x"'], 'start: "x"'],
      [['--json-schema', schema], '{"a":1}'],
      [['--json-schema', file], '{"a":1}'],
    ]
    for (const [words, wanted] of guided)
      expect((await fine('complete', 'first', 'a', ...words)).out).toBe(`${wanted}\n`)
    expect((await fine('logs', 'first', '--lines', '2')).out.trim().split('\n')).toHaveLength(2)
    expect((await fine('stats')).out).toMatch(/^load +\d.*\n(.*\n)+0 +NVIDIA H100/)
    expect(JSON.parse((await fine('stats', '--json')).out)).toMatchObject({ gpu_count: 2 })

    const follower = start(world, ['logs', id, '--follow', '--json'])
    const seen: unknown[] = []
    createInterface({ input: follower.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      seen.push(JSON.parse(line)),
    )
    const followed = new Promise((resolve) => follower.once('close', resolve))
    await eventually('the log is there', () => seen.length > 0)
    // The daemon is killed and started again; the launch goes on, and whoever follows its log too.
    await world.kill('SIGKILL')
    world.start()
    await eventually(
      'the next daemon has it',
      async () => (await call(world, 'launches')).out.includes(' ready '),
      60_000,
      200,
    )
    expect((await fine('stop', 'first')).out).toBe(`launch ${id.slice(0, 8)} is stopped\n`)
    // A launch that has ended writes no more.
    expect(await followed).toBe(0)
    expect((await fine('stop', id, '--json')).out).toContain('"state":"stopped"')
    expect((await fine('launches')).out).toMatch(/^no launches; /)
    expect((await fine('launches', '--all')).out).toMatch(/stopped/)
    expect((await fine('logs', 'first')).out).not.toBe('')
  },
)

test('what cannot be is refused in words, with exit 1; 69 without a daemon', { timeout: 120_000 }, async () => {
  const { world } = await startLaunchWorld()
  const failed = await call(world, 'launch', 'conformance/absent', '--gpus', '1', '--wait')
  expect(failed.code).toBe(1)
  expect(failed.err).toMatch(/launch [0-9a-f]{8}: .*\[model-offline\]\n {2}seen: .*\n {2}do: +\S/)
  const busy = await call(world, 'launch', model, '--gpu-count', '2', '--json')
  expect(JSON.parse(busy.out)).toMatchObject({ gpu_ids: [0, 1], state: 'bootstrapping' })
  const refused: [string[], RegExp][] = [
    [['launch', model, '--gpus', '0'], /Requested GPUs are in use \(gpu 0 -> [^]*\(--queue\)/],
    [['launch', model, '--gpus', '7'], /Requested GPUs are not available: \[7\]/],
    [['launch', model, '--set', 'port=1'], /port/],
    [['launch', '--node'], /MODEL_NAME/],
    [['stop', 'nobody'], /no launch has the id or name "nobody"/],
    [['complete', 'nobody', 'x'], /no launch has/],
    [['logs', 'nobody'], /no launch has/],
  ]
  for (const [words, why] of refused) {
    const { code, err, out } = await call(world, ...words)
    expect({ words, code, out, err }).toEqual({ words, code: 1, out: '', err: expect.stringMatching(why) })
  }
  await world.kill('SIGTERM')
  for (const words of [
    ['launches'],
    ['launch', model],
    ['stop', 'x'],
    ['stats'],
    ['complete', 'x', 'y'],
    ['logs', 'x'],
  ])
    expect(await call(world, ...words)).toMatchObject({ code: 69, out: '' })
})

test.each([
  [['launch']],
  [['launch', model, '--gpus', 'a']],
  [['launch', model, '--gpus', '0', '--gpu-count', '1']],
  [['launch', model, '--gpu-count', '0']],
  [['launch', model, '--set', 'novalue']],
  [['launch', model, '--ttl', '0']],
  [['launch', model, '--task', 'x']],
  [['launch', model, '--node']],
  [['stop']],
  [['complete', 'x']],
  [['complete', 'x', 'y', '--temperature', 'hot']],
  [['complete', 'x', 'y', '--choice', 'a', '--regex', 'b']],
  [['complete', 'x', 'y', '--json-schema', '{"type"']],
  [['launch', model, '--gpus', '3-1']],
])('%j is a wrong command line: exit 2 with the usage, and nothing is asked', async (words) => {
  const heard = { out: '', err: '' }
  const out = {
    colours: false,
    columns: 100,
    write: (text: string) => void (heard.out += text),
    complain: (text: string) => void (heard.err += text),
  }
  expect(await runCommand(words, out)).toBe(2)
  expect(heard).toEqual({ out: '', err: expect.stringMatching(/^gonka-node [a-z]+: .*\nusage: /) })
})

const facts = (id: string, name?: string, state: LaunchResponse['state'] = 'ready'): LaunchResponse => ({
  launch_id: id,
  model: 'm',
  gpu_ids: [0],
  task: 'generate',
  state,
  created_at: '2026-11-20T22:12:46.781225Z',
  updated_at: '2026-11-20T22:12:46.781225Z',
  error: null,
  ...(name !== undefined && { name }),
})

test('a launch is meant by id, by its beginning, or by name: of the living one before those that ended', () => {
  const all = [
    facts('1234aaaa', 'x', 'stopped'),
    facts('1234bbbb', 'x'),
    facts('5678cccc', 'y', 'stopped'),
    facts('5678dddd', 'y', 'failed'),
  ]
  expect(pickLaunch(all, '1234aaaa').launch_id).toBe('1234aaaa')
  expect(pickLaunch(all, '1234b').launch_id).toBe('1234bbbb')
  expect(pickLaunch(all, 'x').launch_id).toBe('1234bbbb')
  expect(pickLaunch(all, 'y').launch_id).toBe('5678dddd')
  expect(() => pickLaunch(all, '1234')).toThrow('"1234" begins several ids: 1234aaaa, 1234bbbb')
  expect(() => pickLaunch(all, '12')).toThrow('no launch has the id or name "12"')
})
