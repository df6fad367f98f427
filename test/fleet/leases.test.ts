import { createServer } from 'node:net'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { Leases } from '../../src/fleet/leases.ts'
import { pickPort } from '../../src/fleet/ports.ts'
import { freePort } from '../support/free-port.ts'
import { toGpus } from './bed.ts'

test('a lease is all or nothing and has one holder until it is released', () => {
  const leases = new Leases()
  expect(leases.take([0, 1], 'a')).toBe(true)
  expect(leases.take([1, 2], 'b')).toBe(false)
  expect(leases.holder(2, toGpus(4)).kind).toBe('free')
  expect(leases.holder(1, toGpus(4))).toEqual({ kind: 'leased', life: 'a' })
  leases.release('a')
  expect(leases.take([1, 2], 'b')).toBe(true)
})

test('memory in use on a free GPU is a stranger, unless the sample is older than our own engine', () => {
  const leases = new Leases()
  const busy = (at: number) => toGpus(1, [40_000], new Date(at))
  expect(leases.holder(0, busy(1))).toEqual({ kind: 'foreign', usedMiB: 40_000, totalMiB: 80_000 })
  expect(leases.holder(0, toGpus(1, [600])).kind).toBe('free')
  leases.take([0], 'a')
  expect(leases.holder(0, busy(50)).kind).toBe('leased')
  leases.release('a')
  const before = busy(50)
  expect(leases.holder(0, before).kind).toBe('free')
  expect(leases.holder(0, before).kind).toBe('free')
  // A clock that was set back says nothing about it.
  expect(leases.holder(0, busy(40)).kind).toBe('foreign')
})

test('a GPU whose memory did not come back is taken by nobody before a look says that it is free', () => {
  const leases = new Leases()
  leases.take([0], 'a')
  leases.release('a', true)
  const before = toGpus(1, [600])
  expect(leases.holder(0, before).kind).toBe('foreign')
  expect(leases.holder(0, before).kind).toBe('foreign')
  expect(leases.holder(0, toGpus(1, [40_000])).kind).toBe('foreign')
  expect(leases.holder(0, toGpus(1, [600])).kind).toBe('free')
})

test.each(['127.0.0.1', '0.0.0.0', '::'])(
  'a port that somebody holds on %s is skipped, and named with its holder',
  async (host) => {
    const port = await freePort()
    const server = createServer().listen(port, host)
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const found = await pickPort(port, new Set([port + 1]))
    expect(found.port).toBeGreaterThan(port + 1)
    expect(found.skipped[0]).toMatchObject({ port, by: expect.stringContaining(`pid ${process.pid}`) as string })
  },
)

test('no port is found above the last one', async () => {
  expect(await pickPort(65_536, new Set())).toEqual({ port: undefined, skipped: [] })
})
