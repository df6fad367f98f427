// Questions that outlast a restart of the daemon: engines and launches go on meanwhile.
import { setTimeout as wait } from 'node:timers/promises'
import { Refusal } from '../core/errors.ts'
import { ask } from './socket-client.ts'

/** How long a daemon may be away, ms: systemd restarts it within seconds. */
const longestOutage = 60_000

/** As ask(), but a daemon that is away is waited for. @throws Refusal `daemon-unreachable` after a minute, or the daemon's own */
export async function askThrough<T>(socket: string, route: `GET /${string}`): Promise<T> {
  const end = performance.now() + longestOutage
  for (;;) {
    try {
      return await ask<T>(socket, route)
    } catch (error) {
      const isAway = error instanceof Refusal && error.code === 'daemon-unreachable'
      if (!isAway || performance.now() > end) throw error
    }
    await wait(250)
  }
}
