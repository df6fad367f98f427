// The node's two ports, open before the parts behind them are even loaded: whoever connects meanwhile waits for them, and is not
// refused. Loading takes most of a start.
import { readFile } from 'node:fs/promises'
import { computed, type ReadonlySignal } from '@preact/signals-core'
import type { Config } from './config/schema.ts'
import { within } from './core/abort.ts'
import type { Component } from './core/component.ts'
import type { FdStore } from './core/fd-store.ts'
import type { Log } from './core/log.ts'
import { until } from './core/watch.ts'
import { createHold, type Hold } from './http/hold.ts'
import { type Listener, startListener } from './http/listener.ts'

/** Its requests wait until `open` said who answers them. */
export type Door = Listener & Pick<Hold, 'open'>

export type Doors = {
  /** The address of both: all addresses, or loopback behind tunnels. */
  readonly bind: string
  readonly node: Door
  readonly inference: Door
}

type DoorsDeps = { config: Config; fdStore: FdStore; log: Log }

/** ms; of the listeners that close last: no engine is behind them any more, whatever still runs there runs too slowly. */
export const lastDrain = 5000

/** ms; a port that cannot be had is tried again and again, and holds nobody up. */
const openBound = 1000

/** Resolves when both listen, or have said why they cannot. */
export async function openDoors({ config, fdStore, log }: DoorsDeps): Promise<Doors> {
  const { listeners, engine } = config
  const bind = await pickBind(config)
  const open = (name: string, port: number, drainMs: number): Door => {
    const { onRequest, open } = createHold()
    const listener = startListener({
      name,
      host: bind,
      port,
      fdStore,
      onRequest,
      drainMs,
      log: log.child({ part: name }),
    })
    return { ...listener, open }
  }
  const node = open('node', listeners.nodePort, lastDrain)
  const inference = open('inference', listeners.inferencePort, engine.drainTimeout)
  await until(areOpened([node, inference]), Boolean, within(openBound)).catch(() => {})
  return { bind, node, inference }
}

/** All listen, or have said why they cannot. */
export const areOpened = (all: readonly Component[]): ReadonlySignal<boolean> =>
  computed(() => all.every(({ status }) => status.value.health !== 'starting'))

/** Loopback behind tunnels, since both listeners carry no credentials; all addresses otherwise, IPv6 where the kernel has it. */
async function pickBind({ listeners, tunnels }: Config): Promise<string> {
  if (listeners.nodeBind) return listeners.nodeBind
  if (tunnels.servers.length > 0) return '127.0.0.1'
  const interfaces = await readFile('/proc/net/if_inet6', 'utf8').catch(() => '')
  return interfaces.trim() === '' ? '0.0.0.0' : '::'
}
