import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { listensNow } from '../../src/core/own-listener.ts'
import { findPortHolder, isHeldBy } from '../../src/core/port-holder.ts'

async function listenSomewhere(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return (server.address() as { port: number }).port
}

test('who listens on a port is named, and told apart from others', async () => {
  const port = await listenSomewhere()
  expect((await findPortHolder(port))?.pid).toBe(process.pid)
  expect(await isHeldBy(port, [process.pid])).toBe(true)
  expect(await isHeldBy(port, [process.ppid])).toBe(false)
  expect(listensNow(process.pid, port)).toBe(true)
  expect(listensNow(process.ppid, port)).toBe(false)
})

test('a port on which nobody listens has no holder', async () => {
  expect(await findPortHolder(1)).toBeUndefined()
  expect(await isHeldBy(1, [process.pid])).toBeUndefined()
  expect(listensNow(process.pid, 1)).toBe(false)
})
