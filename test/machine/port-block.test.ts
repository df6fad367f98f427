import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { blocks, reservePorts } from './port-block.ts'

async function listen(port: number, host: string): Promise<void> {
  const server = createServer().listen(port, host)
  onTestFinished(() => void server.close())
  await once(server, 'listening')
}

test('a block in which a leftover listens, on a port or on the address of the outside, is left to it', async () => {
  // Found free first, then given back: other runs draw blocks at random at the same time.
  const [first, second] = [await reservePorts(), await reservePorts()]
  const order = [first, second].map(({ base }) => (base - 12_000) / 40)
  for (const block of [first, second]) await block.release()
  await listen(first.base + 7, '127.0.0.1')
  await listen(10_042, second.host)
  const numbers = [...order]
  const third = await reservePorts(() => numbers.shift() ?? Math.floor(Math.random() * blocks))
  onTestFinished(() => third.release())
  expect([first.base, second.base]).not.toContain(third.base)
})
