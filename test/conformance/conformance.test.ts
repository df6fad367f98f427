// Our daemon passes the black-box suite of the launch service; and the suite's program says so, and says what fails.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cases } from './cases.ts'
import { accessKey, type LaunchWorld, startLaunchWorld } from './launch-world.ts'

const program = join(import.meta.dirname, 'conformance.ts')
const shared: { service?: LaunchWorld; end?: () => Promise<void> } = {}

function serviceOf(): LaunchWorld {
  if (!shared.service) throw new Error('the service did not start')
  return shared.service
}

beforeAll(async () => {
  shared.service = await startLaunchWorld({ lastsUntil: (end) => (shared.end = end) })
})

afterAll(() => shared.end?.(), 60_000)

describe('the launch service', () => {
  test.each(cases.map((one) => [one.of, one.title, one] as const))('%s: %s', async (_of, _title, one) => {
    const { target } = serviceOf()
    expect(one.lacks?.(target)).toBe(undefined)
    await one.run(target).catch(async (error: unknown) => {
      await target.clear()
      throw error
    })
  })
})

test('every one of the nine defects of the old service has a case', () => {
  const numbers = new Set(cases.map(({ of }) => of).filter((of) => of.startsWith('defect')))
  expect([...numbers].toSorted()).toEqual(Array.from({ length: 9 }, (_, at) => `defect ${at + 1}`))
})

test('the program prints a line per case and exits 0; 1 when a case fails; 2 for a wrong command line', async () => {
  const { url, grpc } = serviceOf()
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [program, ...args], { timeout: 60_000 }).then(
      ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
    )
  const fine = await run('--url', url, '--grpc', grpc, '--key', accessKey, '--only', 'A1.7')
  expect(fine).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^passed .*stats[^]*\n1 passed, 0 failed, 0 skipped\n$/),
  })
  // Nobody is let in.
  const barred = await run('--url', url, '--only', 'A1.7')
  expect(barred).toMatchObject({ code: 1, stdout: expect.stringMatching(/^failed [^]*401/) })
  expect(await run('--gpus', '0,1')).toMatchObject({ code: 2, stderr: expect.stringContaining('--url is missing') })
})
