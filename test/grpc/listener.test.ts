// The listener itself: who may come, what it offers besides, and how it opens and ends.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { credentials, status } from '@grpc/grpc-js'
import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import type { FdStore } from '../../src/core/fd-store.ts'
import { silentLog } from '../../src/core/log.ts'
import { startGrpc } from '../../src/grpc/start-grpc.ts'
import type { TlsMaterial } from '../../src/http/tls-files.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'
import {
  call,
  createLaunches,
  methodOf,
  openClient,
  prompts,
  sendCompletion,
  startFront,
  startJsonEngine,
  type Asked,
} from './support.ts'

const closedToAll = { judge: () => 'unauthorized' as const, waitFor: () => 0 }

test('beyond loopback it stays closed without a key, and says why', async () => {
  const listeners = { controlHost: '0.0.0.0', accessKey: undefined, accessKeyFile: undefined }
  const config = { listeners, launches: { grpcPort: 0, limitMessageSize: false } }
  const deps = { launches: createLaunches([]), access: closedToAll, log: silentLog, drainMs: 0 }
  const closed = startGrpc({ ...deps, config })
  expect(closed.status.value).toMatchObject({ health: 'degraded', problem: { code: 'grpc-refused' } })
  expect(closed.address.value).toBeUndefined()
  const open = startGrpc({ ...deps, config: { ...config, listeners: { ...listeners, accessKey: 'k' } } })
  await eventually('it to open', () => open.address.value)
  await open.end('stop')
  expect(open.status.value.health).toBe('off')
})

test('where its usual port is that of another listener, it leaves it to that one', async () => {
  const listeners = { controlHost: '127.0.0.1', accessKey: undefined, accessKeyFile: undefined, nodePort: 8001 }
  const config = { listeners, launches: { grpcPort: 8001, limitMessageSize: false } }
  const closed = startGrpc({ launches: createLaunches([]), access: closedToAll, log: silentLog, drainMs: 0, config })
  expect(closed.status.value).toMatchObject({ health: 'off', summary: expect.stringContaining('8001') as string })
})

test('a connection that nobody speaks on is accepted, and ends with the listener', async () => {
  const { listener, port } = await startFront([])
  const socket = connect(port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.resume().once('connect', resolve))
  await listener.end('stop')
  await closed
  expect(listener.status.value.health).toBe('off')
})

test.each([
  ['HTTP/1.1', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'],
  ['TLS', '\u0016\u0003\u0001 garbage'],
  ['zeros', '\0'.repeat(100_000)],
])('what is no HTTP/2 hurts nobody: %s', async (_title, garbage) => {
  const { client, port } = await startFront([])
  const socket = connect(port, '127.0.0.1', () => socket.write(garbage))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('close', resolve).resume())
  expect(await call(client, 'Check', { service: '' }).outcome).toMatchObject({ code: status.OK })
})

test('health is open to probes without a key, all else is not', async () => {
  const { client } = await startFront([], { access: closedToAll })
  const check = (service: string) => call(client, 'Check', { service }).outcome
  expect(await check('')).toMatchObject({ messages: [{ status: 'SERVING' }], code: status.OK })
  expect(await check('vllm_bootstrap.InferenceService')).toMatchObject({ messages: [{ status: 'SERVING' }] })
  expect(await check('nobody')).toMatchObject({ code: status.NOT_FOUND })
  const asked = client.makeBidiStreamRequest(
    methodOf('ServerReflectionInfo').path,
    methodOf('ServerReflectionInfo').requestSerialize,
    methodOf('ServerReflectionInfo').responseDeserialize,
  )
  asked.on('error', () => {})
  const code = new Promise((resolve) => asked.on('status', (told: { code: number }) => resolve(told.code)))
  asked.write({ list_services: '' })
  expect(await code).toBe(status.UNAUTHENTICATED)
})

test.each(['v1', 'v1alpha'])(
  'reflection %s lists the services and gives the files that define them',
  async (version) => {
    const { client } = await startFront([])
    const { path: asV1, requestSerialize, responseDeserialize } = methodOf('ServerReflectionInfo')
    const path = asV1.replace('.v1.', `.${version}.`)
    const ask = (request: object) =>
      new Promise<Record<string, never>>((resolve) => {
        const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
        stream.on('data', resolve)
        stream.on('error', () => {})
        stream.write(request)
        stream.end()
      })
    const listed = (await ask({ list_services: '' })) as { list_services_response?: { service: { name: string }[] } }
    expect(listed.list_services_response?.service.map(({ name }) => name)).toEqual([
      'vllm_bootstrap.InferenceService',
      'vllm_bootstrap.TokenService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ])
    type File = {
      file_descriptor_response?: { file_descriptor_proto: Buffer[] }
      error_response?: { error_code: number }
    }
    const of = async (symbol: string) => (await ask({ file_containing_symbol: symbol })) as File
    for (const symbol of [
      'vllm_bootstrap.InferenceService',
      'vllm_bootstrap.CompleteRequest.prompts',
      'vllm_bootstrap.InferenceService.Embed',
    ]) {
      expect((await of(symbol)).file_descriptor_response?.file_descriptor_proto[0]?.includes('CompleteStream')).toBe(
        true,
      )
    }
    expect((await of('vllm_bootstrap.Nothing')).error_response?.error_code).toBe(status.NOT_FOUND)
    expect((await ask({ file_by_filename: 'vllm_bootstrap.proto' })) as File).toHaveProperty('file_descriptor_response')
  },
)

test.each([
  [false, status.OK],
  [true, status.RESOURCE_EXHAUSTED],
])('with a limit of message sizes: %s, a request of 5 MB is %i', async (limitMessageSize, code) => {
  const upstream = await startJsonEngine((asked) => sendCompletion(asked, 'x'.repeat(5_000_000)))
  const config = {
    listeners: { controlHost: '127.0.0.1', accessKey: undefined, accessKeyFile: undefined },
    launches: { grpcPort: 0, limitMessageSize },
  }
  const { client } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], { config })
  const { outcome } = call(client, 'Complete', { launch_id: 'l', prompts: ['x'.repeat(5_000_000)] })
  expect((await outcome).code).toBe(code)
})

test('a stop waits for running calls, and refuses new ones', async () => {
  const held: Asked[] = []
  const upstream = await startJsonEngine((asked) => held.push(asked))
  const { client, listener, port } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], { drainMs: 20_000 })
  const watch = call<{ status: string }>(client, 'Watch', { service: '' }, { options: {} })
  const running = call(client, 'Complete', { launch_id: 'l', prompts: prompts(3) })
  await eventually('the prompts', () => held.length === 3 && watch.messages.length === 1)
  const ended = listener.end('stop')
  await watch.outcome
  expect(watch.messages.map((one) => one.status)).toEqual(['SERVING', 'NOT_SERVING'])
  const late = call(openClient(port), 'Check', { service: '' }, { options: { deadline: Date.now() + 2000 } })
  expect((await late.outcome).code).not.toBe(status.OK)
  for (const one of held) sendCompletion(one)
  expect((await running.outcome).code).toBe(status.OK)
  await ended
})

test('a stop ends calls that do not end themselves, and the port is kept over a restart alone', async () => {
  const calls: string[] = []
  const fdStore: FdStore = {
    take: () => undefined,
    keep: (name) => void calls.push(`keep ${name}`),
    forget: (name) => void calls.push(`forget ${name}`),
  }
  const upstream = await startJsonEngine(() => {})
  for (const intent of ['stop', 'restart'] as const) {
    const { client, listener } = await startFront([{ launch_id: 'l', upstreams: [upstream] }], {
      drainMs: 100,
      fdStore,
    })
    const { outcome } = call(client, 'CompleteStream', { launch_id: 'l', prompts: ['a'] })
    await eventually('the prompt', () => upstream.inFlight === 1)
    await listener.end(intent)
    expect((await outcome).code).not.toBe(status.OK)
    await eventually('no turn to be open', () => upstream.inFlight === 0)
  }
  expect(calls).toEqual(['keep grpc', 'forget grpc', 'keep grpc'])
})

test('with a certificate it speaks TLS alone, and takes a renewed one for the next connection', async () => {
  const folder = await tempDir()
  const make = (name: string): TlsMaterial => {
    const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
    const args = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      key,
      '-out',
      cert,
    ]
    execFileSync('openssl', [...args, ...subject], { stdio: 'ignore' })
    return { key: readFileSync(key), cert: readFileSync(cert) }
  }
  const [first, second] = [make('first'), make('second')]
  const tls = signal<TlsMaterial | undefined>(undefined)
  const { port, client } = await startFront([], { tls })
  const check = (trusted: Buffer) =>
    call(
      openClient(port, credentials.createSsl(trusted)),
      'Check',
      { service: '' },
      { options: { deadline: Date.now() + 5000 } },
    ).outcome
  expect((await check(first.cert)).code).not.toBe(status.OK)
  tls.value = first
  expect((await check(first.cert)).code).toBe(status.OK)
  tls.value = second
  expect((await check(second.cert)).code).toBe(status.OK)
  expect((await check(first.cert)).code).not.toBe(status.OK)
  expect(
    (await call(client, 'Check', { service: '' }, { options: { deadline: Date.now() + 2000 } }).outcome).code,
  ).not.toBe(status.OK)
})

test('what is open without a key holds little: short messages alone, and so many watchers', async () => {
  const { client } = await startFront([])
  const long = call(client, 'Check', { service: 'x'.repeat(5000) })
  expect(await long.outcome).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
  const watchers = Array.from({ length: 256 }, () => call(client, 'Watch', { service: '' }, { options: {} }))
  await eventually('all to watch', () => watchers.every(({ messages }) => messages.length === 1))
  const watch = () => call(client, 'Watch', { service: '' }, { options: {} })
  expect(await watch().outcome).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
  for (const { stream } of watchers) stream.cancel()
  await Promise.all(watchers.map(({ outcome }) => outcome))
})
