import { createServer, type AddressInfo } from 'node:net'
import { signal } from '@preact/signals-core'
import { expect, onTestFinished, test } from 'vitest'
import type { Phase } from '../../src/engine/life.ts'
import { settle } from '../../src/fleet/settle.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

const bounds = { loading: 20, listening: 60_000 }

/** An engine that was found again, and is not seen serving yet. */
function adopted(port: number) {
  const phase = signal<Phase>('loading')
  const members = signal<{ life: { phase: typeof phase; upstream: { port: number } } }[]>([])
  const adopt = () => Promise.resolve().then(() => void (members.value = [{ life: { phase, upstream: { port } } }]))
  const settled = settle({ adopt, members, bounds }, new AbortController().signal)
  return { phase, settled }
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
