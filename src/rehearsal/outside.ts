// The outside world of a rehearsal without the daemon: the machine's root, API node, frp server, metadata service.
import { rm } from 'node:fs/promises'
import { type ApiNode, startApiNode } from './api-node.ts'
import { type Ports, pickPorts } from './free-ports.ts'
import { type FrpServer, startFrpServer } from './frp-server.ts'
import { type MachineRoot, type MachineWishes, rehearsalModel, writeMachine } from './machine-root.ts'
import { type RehearsalMetadata, startRehearsalMetadata } from './metadata.ts'

export type OutsideOptions = MachineWishes & {
  ports: Partial<Ports>
  /** Of the broker's 60 s and 30 s. */
  scale: number
  /** Where the frp server and its remote ports are; another loopback address than 127.0.0.1 is nobody else's. */
  host?: string
}

export interface Outside {
  readonly machine: MachineRoot
  readonly ports: Ports
  readonly apiNode: ApiNode
  readonly metadata: RehearsalMetadata
  readonly frps: FrpServer
  /** Ends the world, then removes the files. The daemon must have ended. */
  end(): Promise<void>
}

export async function startOutside(options: OutsideOptions): Promise<Outside> {
  // A start that fails half way, for example at a taken port, leaves nothing behind.
  await using started = new AsyncDisposableStack()
  const host = options.host ?? '127.0.0.1'
  const ports = await pickPorts(options.ports, Math.max(1, options.gpus))
  const metadata = await startRehearsalMetadata({ instanceId: 'i-0rehearsal0000000' })
  started.defer(() => metadata.end())
  const machine = await writeMachine(options, { ports, host, metadataUrl: metadata.url })
  started.defer(() => rm(machine.folder, { recursive: true, force: true, maxRetries: 5 }))
  const apiNode = await startApiNode({
    adminPort: ports.admin,
    callbackPort: ports.callbacks,
    scale: options.scale,
    // What a chain has set: both tunnelled ports must strip it.
    version: 'v3.0.8',
    resolve: { frps: host },
    governance: { [options.set['MODEL_NAME'] ?? rehearsalModel]: [] },
  })
  started.defer(() => apiNode.end())
  const frps = startFrpServer(machine)
  started.defer(() => frps.stop())
  const all = started.move()
  return { machine, ports, apiNode, metadata, frps, end: () => all.disposeAsync() }
}
