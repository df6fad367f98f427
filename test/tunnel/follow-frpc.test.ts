// A frpc that says "running" whatever becomes of its server: what is true is seen through the remote ports alone.
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { followFrpc, tunnelTimes, type TunnelTimes } from '../../src/tunnel/follow-frpc.ts'
import type { Life } from '../../src/tunnel/frpc-lives.ts'
import type { Verdict } from '../../src/tunnel/judge-tunnel.ts'
import { createNonce, noncePath } from '../../src/tunnel/nonce.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

const names = { inference: 'a-inference', node: 'a-node' }
const times: TunnelTimes = { ...tunnelTimes, poll: 50, probe: 100, failingProbe: 50, probeTimeout: 1000 }

async function listen(answer: RequestListener, port = 0) {
  const server = createServer(answer).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  onTestFinished(close)
  return { port: (server.address() as AddressInfo).port, close }
}

/** A proved tunnel of a frpc that never changes its mind. */
async function startProved(answer: (nonce: string) => RequestListener) {
  const proxies = Object.values(names).map((name) => ({ name, status: 'running', err: '' }))
  const admin = await listen((_, response) => response.end(JSON.stringify({ tcp: proxies })))
  const nonce = createNonce()
  const remote = await listen(answer(nonce.answer(noncePath) ?? ''))
  const server = { host: '127.0.0.1', port: await freePort() }
  const over = new AbortController()
  const seen: Verdict[] = []
  const life = { admin: { port: admin.port, user: 'u', password: 'p' }, body: { logPath: '/nowhere', id: 'x' } }
  const ports = { inference: remote.port, node: remote.port }
  const options = { server, ports, names, nonce: nonce.value, times, log: silentLog, everProved: false }
  const ended = followFrpc(life as unknown as Life, options, (verdict) => void seen.push(verdict), over.signal)
  onTestFinished(async () => {
    over.abort()
    await ended
  })
  await eventually('it is proved', () => seen.at(-1)?.phase === 'proved')
  const whenDown = () => eventually('it is down', () => seen.find(({ phase }) => phase === 'down')?.problem)
  return { server, remote, seen, whenDown }
}

const answerAlways = (nonce: string): RequestListener => {
  return (_, response) => void response.end(nonce)
}

test('a server that vanished is unreachable, not a closed port', async () => {
  const { remote, whenDown } = await startProved(answerAlways)
  remote.close()
  expect(await whenDown()).toMatchObject({
    code: 'frps-unreachable',
    evidence: expect.stringMatching(/the frp server refuses connections; inference at .* refuses connections/),
  })
})

test('a port that is closed while its server lives is a closed port', async () => {
  const { server, remote, whenDown } = await startProved(answerAlways)
  await listen((_, response) => response.end(), server.port)
  remote.close()
  expect((await whenDown())?.code).toBe('tunnel-port-closed')
})

test('one request that is lost and one that is late are no lost tunnel', async () => {
  const asked = { count: 0 }
  const answer = (nonce: string): RequestListener => {
    return (_, response) => {
      asked.count += 1
      // Both ports answer here: of each four the first pair is lost in turn.
      if (asked.count > 2 && Math.ceil(asked.count / 2) % 2 === 0) return
      response.end(nonce)
    }
  }
  const { seen } = await startProved(answer)
  await eventually('it was asked again and again', () => asked.count >= 10)
  expect(seen.filter(({ phase }) => phase === 'down')).toEqual([])
})

/** ms; only the first of the waits ends later: those that follow begin at a shared moment (core/clock.ts). */
const sharedLate = 1000

test('a frozen server is told within 12 s', () => {
  const { probe, poll, probeTimeout } = tunnelTimes
  // The look at which a proof is due, the proof with its second try, and what the waits last longer to end with others.
  expect(Math.ceil(probe / poll) * poll + sharedLate + probeTimeout).toBeLessThanOrEqual(12_000)
})
