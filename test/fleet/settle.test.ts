import { createServer, type AddressInfo } from 'node:net'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import type { Phase } from '../../src/engine/life.ts'
import { settle, type Settling } from '../../src/fleet/settle.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

const bounds = { loading: 20, listening: 60_000 }

/** An engine of the node that was found again, and is not seen serving yet; `others` are as they are. */
function adopted(port: number, others: readonly Settling[] = [], patience: typeof bounds = bounds) {
  const phase = signal<Phase>('loading')
  const members = signal<readonly Settling[]>([])
  const own: Settling = { plan: { owner: 'configuration' }, life: { phase, upstream: { port } } }
  const adopt = () => Promise.resolve().then(() => void (members.value = [...others, own]))
  const settled = settle({ adopt, members, bounds: patience }, new AbortController().signal)
  return { phase, members, settled }
}

test('an engine that listens is waited for until it is seen serving, however slow the machine is', async () => {
  const asked = { count: 0 }
  const server = createServer((socket) => {
    asked.count += 1
    socket.on('error', () => {}).destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { phase, settled } = adopted((server.address() as AddressInfo).port)
  await eventually('it was looked for', () => asked.count > 0)
  expect(settled.value).toBe(false)
  phase.value = 'serving'
  await eventually('settled', () => settled.value)
})

test('for an engine that loads nobody waits longer', async () => {
  const { settled } = adopted(await freePort())
  await eventually('settled', () => settled.value)
})

test("the node's own engine is waited for although one of a launch serves already", async () => {
  const launched: Settling = { plan: { owner: 'launch:1' }, life: { phase: signal('serving'), upstream: { port: 1 } } }
  const { phase, members, settled } = adopted(2, [launched], { loading: 60_000, listening: 60_000 })
  await eventually('found again', () => members.value.length === 2)
  await new Promise(setImmediate)
  expect(settled.value).toBe(false)
  phase.value = 'serving'
  await eventually('settled', () => settled.value)
})
