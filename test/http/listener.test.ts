import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { onTestFinished, expect, test } from 'vitest'
import type { FdStore } from '../../src/core/fd-store.ts'
import { silentLog } from '../../src/core/log.ts'
import { type Listener, startListener, type ListenerOptions } from '../../src/http/listener.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

const answerOk: ListenerOptions['onRequest'] = (_request, response) => void response.end('ok')

function start(options: Partial<ListenerOptions> = {}): Listener {
  const listener = startListener({
    name: 'node',
    host: '127.0.0.1',
    port: 0,
    onRequest: answerOk,
    log: silentLog,
    ...options,
  })
  onTestFinished(() => listener.end('stop'))
  return listener
}

function whenOpen(listener: Listener): Promise<{ host: string; port: number }> {
  return eventually('the listener to open', () => listener.address.value)
}

test('a taken port names who holds it, and is opened as soon as it is free', async () => {
  const port = await freePort()
  const code = `require('net').createServer().listen(${port}, '127.0.0.1', () => console.log('up'))`
  const holder = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  const listener = start({ port })
  const { problem } = await eventually('the problem', () => listener.status.value.problem && listener.status.value)
  expect(problem).toMatchObject({ code: 'port-taken' })
  expect(problem?.evidence).toContain(`127.0.0.1:${port} is held by pid ${holder.pid} (${process.execPath}`)
  holder.kill('SIGKILL')
  expect(await whenOpen(listener)).toEqual({ host: '127.0.0.1', port })
  expect(listener.status.value).toMatchObject({ health: 'ok' })
})

test('an address that is not ours is its own problem', async () => {
  const listener = start({ host: '192.0.2.7' })
  const problem = await eventually('the problem', () => listener.status.value.problem)
  expect(problem.code).toBe('bind-address-absent')
})

test('a new socket is kept under its name, and a stop forgets it while a restart does not', async () => {
  const calls: string[] = []
  const fdStore: FdStore = {
    take: () => undefined,
    keep: (name, fd) => void calls.push(`keep ${name} ${fd > 2}`),
    forget: (name) => void calls.push(`forget ${name}`),
  }
  for (const intent of ['stop', 'restart'] as const) {
    const listener = start({ fdStore })
    await whenOpen(listener)
    await listener.end(intent)
  }
  expect(calls).toEqual(['keep node true', 'forget node', 'keep node true'])
})

test.each([
  ['used where it is the configured one', ''],
  ['closed where the configuration asks for another port', 'port'],
  ['closed where the configuration asks for another address', 'address'],
])('an inherited socket is %s', async (_title, other) => {
  const first = createServer()
  first.listen(0, '127.0.0.1')
  await once(first, 'listening')
  const { fd } = (first as unknown as { _handle: { fd: number } })._handle
  const { port } = first.address() as { port: number }
  const wanted = other === 'port' ? await freePort() : port
  const host = other === 'address' ? '127.0.0.2' : '127.0.0.1'
  const program = join(import.meta.dirname, 'inherit.ts')
  const child = spawn(process.execPath, [program, String(wanted), host], { stdio: ['ignore', 'pipe', 'inherit', fd] })
  onTestFinished(() => void child.kill('SIGKILL'))
  first.close()
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  expect(line.toString().trim()).toBe(other ? `${wanted} forget keep` : `${port}`)
  expect(await (await fetch(`http://${host}:${wanted}/`)).text()).toBe('inherited')
})

test('a stop refuses new connections, waits for the running request and then is over', async () => {
  const held: ServerResponse[] = []
  const listener = start({ onRequest: (_request, response) => void held.push(response) })
  const { port } = await whenOpen(listener)
  const asked = fetch(`http://127.0.0.1:${port}/`)
  await eventually('the request', () => held.length === 1)
  const idle = connect(port, '127.0.0.1')
  await once(idle, 'connect')
  const ended = listener.end('stop')
  await eventually('the port to refuse', async () => {
    const socket = connect(port, '127.0.0.1')
    return once(socket, 'connect').then(
      () => void socket.destroy(),
      () => true,
    )
  })
  held[0]?.end('late')
  expect(await (await asked).text()).toBe('late')
  idle.destroy()
  await ended
  expect(listener.status.value.health).toBe('off')
})

test.each(['stop', 'restart'] as const)(
  'a %s does not cut off a connection whose first request is on its way',
  async (intent) => {
    const listener = start({})
    const { port } = await whenOpen(listener)
    const accepted = once(listener.server, 'connection')
    const caller = connect(port, '127.0.0.1')
    await accepted
    const ended = listener.end(intent)
    caller.write('GET / HTTP/1.1\r\nhost: node\r\n\r\n')
    const [answer] = (await once(caller, 'data')) as [Buffer]
    expect(answer.toString()).toContain('HTTP/1.1 200')
    await ended
  },
)

test('a request that never ends is destroyed when the drain time is over', async () => {
  const held: ServerResponse[] = []
  const listener = start({ drainMs: 50, onRequest: (_request, response) => void held.push(response) })
  const { port } = await whenOpen(listener)
  const asked = fetch(`http://127.0.0.1:${port}/`).then(
    () => 'answered',
    () => 'cut',
  )
  await eventually('the request', () => held.length === 1)
  await listener.end('stop')
  expect(await asked).toBe('cut')
})
