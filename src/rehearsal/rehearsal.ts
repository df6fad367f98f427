// The outside world in miniature around the real daemon: API node, frp server, metadata service; all of it ends together.
import { type ChildProcess, spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ApiNode, startApiNode } from './api-node.ts'
import { type DaemonChild, startDaemon } from './daemon-child.ts'
import { pickPorts } from './free-ports.ts'
import { type MachineRoot, type MachineWishes, type Ports, rehearsalModel, writeMachine } from './machine-root.ts'
import { startRehearsalMetadata } from './metadata.ts'

export type RehearsalOptions = MachineWishes & {
  ports: Partial<Ports>
  /** Of the broker's 60 s and 30 s. */
  scale: number
}

export interface Rehearsal {
  readonly machine: MachineRoot
  readonly ports: Ports
  readonly apiNode: ApiNode
  readonly daemon: DaemonChild
  /** Ends the daemon (engines and tunnels with it), then the world, then the files. */
  end(): Promise<void>
}

export async function startRehearsal(options: RehearsalOptions): Promise<Rehearsal> {
  const ports = await pickPorts(options.ports, Math.max(1, options.gpus))
  const metadata = await startRehearsalMetadata({ instanceId: 'i-0rehearsal0000000' })
  const machine = await writeMachine(options, ports, metadata.url)
  const apiNode = await startApiNode({
    adminPort: ports.admin,
    callbackPort: ports.callbacks,
    scale: options.scale,
    // What a chain has set: both tunnelled ports must strip it.
    version: 'v3.0.8',
    resolve: { frps: '127.0.0.1' },
    governance: { [options.set['MODEL_NAME'] ?? rehearsalModel]: [] },
  })
  const frps = startFrps(machine)
  const daemon = startDaemon({ envFile: machine.envFile, logFile: join(machine.folder, 'log', 'gonka-node.log') })
  return {
    machine,
    ports,
    apiNode,
    daemon,
    async end() {
      await daemon.stop()
      await endChild(frps)
      await apiNode.end()
      await metadata.end()
      await rm(machine.folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function startFrps({ folder, frps }: MachineRoot): ChildProcess {
  const log = openSync(join(folder, 'log', 'frps.log'), 'a')
  return spawn(frps.program, ['-c', frps.config], { stdio: ['ignore', log, log] })
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const last = setTimeout(() => child.kill('SIGKILL'), 2000)
  await gone
  clearTimeout(last)
}
