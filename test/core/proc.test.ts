import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseOwnCgroup } from '../../src/core/cgroup.ts'
import { parseProcStat, readProcFile, readProcStat, readWithin } from '../../src/core/proc.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

test('a process whose name holds parentheses and blanks is read right', () => {
  const rest = 'S 1 4021 4021 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1 2'
  expect(parseProcStat(`4022 (a) R (b) ${rest}`)).toEqual({
    pid: 4022,
    ppid: 1,
    group: 4021,
    session: 4021,
    startTime: '98765',
  })
})

test('zombies and dead processes count as gone', () => {
  expect(parseProcStat('7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0')).toBeUndefined()
  expect(parseProcStat('7 (x) X 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0')).toBeUndefined()
  expect(parseProcStat('')).toBeUndefined()
})

test('what is not there is undefined, never an exception', async () => {
  expect(readProcStat(2 ** 22 + 1)).toBeUndefined()
  expect(await readProcFile(2 ** 22 + 1, 'environ')).toBeUndefined()
  expect(readProcStat(process.pid)?.pid).toBe(process.pid)
})

const mounts = (root: string, point: string) =>
  `30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 ${root} ${point} rw,relatime - cgroup2 cgroup2 rw\n`

const places: [title: string, cgroup: string, mountinfo: string, expected: string | undefined][] = [
  [
    'under systemd',
    '0::/system.slice/x.service\n',
    mounts('/', '/sys/fs/cgroup'),
    '/sys/fs/cgroup/system.slice/x.service',
  ],
  ['in a hybrid tree', '4:memory:/a\n0::/b\n', mounts('/', '/sys/fs/cgroup/unified'), '/sys/fs/cgroup/unified/b'],
  ['in a container that sees a part', '0::/docker/1/y\n', mounts('/docker/1', '/sys/fs/cgroup'), '/sys/fs/cgroup/y'],
  ['outside of what the container sees', '0::/other\n', mounts('/docker/1', '/sys/fs/cgroup'), undefined],
  ['with version 1 alone', '4:memory:/a\n', '30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n', undefined],
]
for (const [title, cgroup, mountinfo, expected] of places) {
  test(`our cgroup ${title} is ${expected ?? 'none'}`, () => {
    expect(parseOwnCgroup(cgroup, mountinfo)).toBe(expected)
  })
}

test('a file that does not answer is given up, and not asked again before it came back', async () => {
  const path = join(await tempDir(), 'pipe')
  execFileSync('mkfifo', [path])
  expect(await readWithin(path, 20)).toBeUndefined()
  const began = performance.now()
  expect(await readWithin(path, 10_000)).toBeUndefined()
  expect(performance.now() - began).toBeLessThan(5000)
  await writeFile(path, 'late')
  await eventually('it is asked again', async () => {
    const again = readWithin(path, 5000)
    await writeFile(path, 'now')
    return (await again) === 'now'
  })
})
