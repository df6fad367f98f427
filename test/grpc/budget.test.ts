// What all calls together may hold: their number, their requests, their answers. What is beyond waits, or is refused.
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import type { CallBounds } from '../../src/grpc/calls.ts'
import { eventually } from '../support/eventually.ts'
import { type Asked, call, callRaw, prompts, sendCompletion, startFront, startJsonEngine } from './support.ts'

const bounds: CallBounds = {
  admission: { calls: 20, bytes: 2 ** 20 },
  streams: { each: 2 ** 20, all: 2 ** 20 },
  messages: { all: 256 * 1024 },
}

test('answers of one message have a bound over all calls until they are read; those beyond it wait their turn', async () => {
  let asked = 0
  const upstream = await startJsonEngine((one) => {
    asked += 1
    sendCompletion(one, 'x'.repeat(16_384))
  })
  const { port } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], { bounds })
  const list = { launch_id: 'l', prompts: prompts(100) }
  const unread = Array.from({ length: 12 }, () => callRaw(port, 'Complete', list))
  const settled = { asked: -1, since: 0 }
  await eventually(
    'the engine to be left alone',
    () => {
      if (settled.asked !== asked) Object.assign(settled, { asked, since: performance.now() })
      return asked > 0 && performance.now() - settled.since > 500
    },
    60_000,
  )
  // Of 1200: 16 in the bound, those begun before their size was known, and all of the one call that goes on.
  expect(asked).toBeLessThan(350)
  const sizes = await Promise.all(unread.map((stream) => stream.toArray().then((parts) => Buffer.concat(parts).length)))
  expect(Math.min(...sizes)).toBeGreaterThan(100 * 16_384)
}, 120_000)

test('calls beyond the number that is served at once are refused, and taken again when others have ended', async () => {
  const held: Asked[] = []
  const upstream = await startJsonEngine((asked) => held.push(asked))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], { bounds })
  const ask = (method: 'Complete' | 'TokenStream') => call(client, method, { launch_id: 'l', prompts: ['a'] })
  const running = Array.from({ length: 20 }, () => ask('Complete'))
  await eventually('all of them', () => held.length === 20)
  for (const method of ['Complete', 'TokenStream'] as const) {
    const { code, details } = await ask(method).outcome
    expect({ code, details }).toEqual({
      code: status.RESOURCE_EXHAUSTED,
      details: '20 calls are in flight, try again later',
    })
  }
  for (const one of held.splice(0)) sendCompletion(one)
  for (const { outcome } of running) expect((await outcome).code).toBe(status.OK)
  const again = ask('Complete')
  await eventually('the next', () => held.length === 1)
  sendCompletion(held[0] as Asked)
  expect((await again.outcome).code).toBe(status.OK)
})

test('requests have a bound over all calls', async () => {
  const held: Asked[] = []
  const upstream = await startJsonEngine((asked) => held.push(asked))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], { bounds })
  const ask = (size: number) => call(client, 'Complete', { launch_id: 'l', prompts: ['x'.repeat(size)] })
  const first = ask(600_000)
  await eventually('the first', () => held.length === 1)
  expect(await ask(600_000).outcome).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    details: 'Requests in flight take 1 MiB of memory, try again later',
  })
  expect(await ask(2_000_000).outcome).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    details: 'The request would take more than 1 MiB of memory, send it in parts',
  })
  sendCompletion(held[0] as Asked)
  expect((await first.outcome).code).toBe(status.OK)
})

const few = Buffer.from([0x0a, 1, 0x6c, 0x12, 1, 0x61])

test.each([
  [
    'millions of empty prompts',
    Buffer.alloc(8_000_000, Buffer.from([0x12, 0])),
    'The request would take more than 512',
  ],
  ['millions of empty choices', toGuided(Buffer.alloc(40_000_000, Buffer.from([0x22, 0]))), 'The request would take'],
  ['millions of unknown numbers', Buffer.alloc(8_000_000, Buffer.from([0x38, 0])), 'The request would take'],
  ['groups in groups', Buffer.alloc(8_000_000, 0x1b), 'Error deserializing request'],
  ['an unknown group', Buffer.from([...few, 0x3b, 0x3c]), 'Error deserializing request'],
  ['prompts that say they are a number', Buffer.from([...few, 0x10, 1, 0x61]), 'Error deserializing request'],
  ['a number without end', Buffer.from([...few, ...Buffer.alloc(20, 0xff)]), 'Error deserializing request'],
  ['another wire type', Buffer.from([...few, 0x17]), 'Error deserializing request'],
])('a message of %s is refused before it is decoded', async (_title, message, details) => {
  const upstream = await startJsonEngine((asked) => sendCompletion(asked))
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }])
  const outcome = await call(client, 'Complete', message).outcome
  const code = details.startsWith('The request') ? status.RESOURCE_EXHAUSTED : status.INTERNAL
  expect(outcome).toMatchObject({ code, details: expect.stringContaining(details) as string })
  expect((await call(client, 'Complete', few).outcome).code).toBe(status.OK)
})

function toGuided(choices: Buffer): Buffer {
  const length = [0, 7, 14, 21].map((shift, at) => ((choices.length >>> shift) & 127) | (at < 3 ? 128 : 0))
  return Buffer.concat([few, Buffer.from([0x32, ...length]), choices])
}
