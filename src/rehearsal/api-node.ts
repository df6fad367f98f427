#!/usr/bin/env node
// An API node in miniature: admin API, broker and callback server with the real one's routes, texts, orders and timeouts.
// `node api-node.ts --admin-port 9200 --resolve frps=127.0.0.1 --model NAME --scale 0.1`; in tests: startApiNode({}).
import { parseArgs } from 'node:util'
import { answerAdmin } from './api-node-admin.ts'
import { type Broker, startBroker } from './api-node-broker.ts'
import { initPoc } from './api-node-poc.ts'
import { answerCallbacks } from './api-node-callbacks.ts'
import { answerControl, parseFaults } from './api-node-control.ts'
import type { Fault } from './api-node-faults.ts'
import { startListener } from './api-node-http.ts'
import { World, type WorldOptions } from './api-node-world.ts'

export type ApiNodeOptions = Partial<WorldOptions> & {
  host?: string
  /** 0 (the default) takes a free one. */
  adminPort?: number
  callbackPort?: number
  controlPort?: number
  /** What nodes are told to call back; `http://HOST:CALLBACK_PORT` where absent. */
  callbackBase?: string
  /** Of the 60 s and 30 s of the broker. */
  scale?: number
  faults?: readonly Fault[]
}

export type ApiNode = {
  readonly world: World
  readonly broker: Broker
  readonly adminPort: number
  readonly callbackPort: number
  readonly controlPort: number
  /** Nothing listens on the admin and callback ports until it comes back. */
  away(): Promise<void>
  comeBack(): Promise<void>
  end(): Promise<void>
}

export async function startApiNode(options: ApiNodeOptions = {}): Promise<ApiNode> {
  const { host = '127.0.0.1', scale = 1, adminPort = 0, callbackPort = 0, controlPort = 0, ...rest } = options
  const world = new World({ ...defaults(scale), ...rest })
  world.faults.set(options.faults ?? [])
  // A start that fails half way, for example at a taken port, leaves nothing running.
  await using started = new AsyncDisposableStack()
  started.defer(() => world.end())
  const broker = startBroker(world, (entry) => initPoc(world, entry))
  const admin = await startListener({ host, port: adminPort }, answerAdmin(world, broker))
  started.defer(() => admin.leave())
  const callbacks = await startListener({ host, port: callbackPort }, answerCallbacks(world))
  started.defer(() => callbacks.leave())
  const outside = [admin, callbacks]
  const control = await startListener(
    { host, port: controlPort },
    answerControl(world, broker, () => outside),
  )
  started.move()
  world.callbackBase = options.callbackBase ?? `http://${host}:${callbacks.port}`
  const away = async () => {
    await Promise.all(outside.map((one) => one.leave()))
  }
  return {
    world,
    broker,
    adminPort: admin.port,
    callbackPort: callbacks.port,
    controlPort: control.port,
    away,
    comeBack: async () => {
      await Promise.all(outside.map((one) => one.comeBack()))
    },
    end: async () => {
      await world.end()
      await Promise.all([away(), control.leave()])
    },
  }
}

function defaults(scale: number): WorldOptions {
  return {
    version: '',
    governance: undefined,
    unknownModels: 'drop',
    reservedArgs: ['--revision'],
    privateRoutes: false,
    reloadOnUpdate: 'changed',
    resolve: {},
    triggers: true,
    pollMs: 60_000 * scale,
    reconcileMs: 30_000 * scale,
    probeTimeoutMs: 5_000,
    orderTimeoutMs: 15 * 60_000,
    publicKey: '02rehearsal',
    seqLen: 256,
    kDim: 12,
    strongerRng: false,
  }
}

function parseCommand(args: string[]): ApiNodeOptions {
  const { values } = parseArgs({
    args,
    options: {
      host: { type: 'string' },
      'admin-port': { type: 'string' },
      'callback-port': { type: 'string' },
      'control-port': { type: 'string' },
      'callback-base': { type: 'string' },
      scale: { type: 'string' },
      version: { type: 'string' },
      model: { type: 'string', multiple: true },
      'chain-args': { type: 'string' },
      resolve: { type: 'string', multiple: true },
      fault: { type: 'string', multiple: true },
      private: { type: 'boolean' },
    },
  })
  const chainArgs = (values['chain-args'] ?? '').split(' ').filter((one) => one !== '')
  const number = (text: string | undefined, absent: number) => (text === undefined ? absent : Number(text))
  return {
    host: values.host ?? '127.0.0.1',
    adminPort: number(values['admin-port'], 9200),
    callbackPort: number(values['callback-port'], 9100),
    controlPort: number(values['control-port'], 0),
    ...(values['callback-base'] && { callbackBase: values['callback-base'] }),
    scale: number(values.scale, 1),
    version: values.version ?? '',
    ...(values.model && { governance: Object.fromEntries(values.model.map((model) => [model, chainArgs])) }),
    resolve: Object.fromEntries((values.resolve ?? []).map((pair) => pair.split('=') as [string, string])),
    faults: parseFaults(values.fault ?? []),
    privateRoutes: values.private ?? false,
  }
}

if (import.meta.main) {
  const node = await startApiNode(parseCommand(process.argv.slice(2)))
  const { adminPort, callbackPort, controlPort } = node
  process.stdout.write(`${JSON.stringify({ adminPort, callbackPort, controlPort, pid: process.pid })}\n`)
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => void node.end().then(() => process.exit(0)))
}
