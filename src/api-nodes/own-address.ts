// The address from which this machine reaches an API node: what we announce where neither tunnels nor NODE_HOST say otherwise.
import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import type { HostPort } from '../core/host-port.ts'

/**
 * Asks the routing table by connecting a UDP socket; nothing is sent.
 * @throws when the name does not resolve, no route leads there, or 5 s are over
 */
export async function readOwnAddress(apiNode: HostPort): Promise<string> {
  const { address, family } = await bounded(lookup(apiNode.host), 5_000, apiNode.host)
  return new Promise((resolve, reject) => {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    const fail = (error: Error) => {
      socket.close()
      reject(error)
    }
    socket.once('error', fail)
    socket.connect(apiNode.port, address, () => {
      const own = socket.address().address
      socket.off('error', fail)
      socket.close()
      resolve(own.replace(/^::ffff:/, ''))
    })
  })
}

async function bounded<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  const timer = Promise.withResolvers<never>()
  const clock = setTimeout(
    () => timer.reject(Object.assign(new Error(`${what} did not resolve within ${ms} ms`), { code: 'ETIMEDOUT' })),
    ms,
  )
  try {
    return await Promise.race([work, timer.promise])
  } finally {
    clearTimeout(clock)
  }
}
