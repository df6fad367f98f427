// The outside world in miniature around the real daemon: API node, frp server, metadata service; all of it ends together.
import { join } from 'node:path'
import { type DaemonChild, startDaemon } from './daemon-child.ts'
import { type Outside, type OutsideOptions, startOutside } from './outside.ts'

export interface Rehearsal extends Outside {
  readonly daemon: DaemonChild
  /** Ends the daemon (engines and tunnels with it), then the world, then the files. */
  end(): Promise<void>
}

export async function startRehearsal(options: OutsideOptions): Promise<Rehearsal> {
  const outside = await startOutside(options)
  const { envFile, folder, folders } = outside.machine
  const daemon = startDaemon({ envFile, logFile: join(folder, 'log', 'gonka-node.log'), environment: folders })
  return {
    ...outside,
    daemon,
    async end() {
      await daemon.stop()
      await outside.end()
    },
  }
}
