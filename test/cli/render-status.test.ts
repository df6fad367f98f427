import { expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { renderAge, renderStatus, splitCauses } from '../../src/cli/render-status.ts'
import type { Output } from '../../src/cli/verb.ts'

const plain: Output = { write: () => {}, complain: () => {}, colours: false, columns: 100 }
const at = (seconds: number) => new Date(seconds * 1000).toISOString()

const node: NodeStatus = {
  health: 'failed',
  summary: 'the frp server refuses our token',
  version: '1.2.3',
  pid: 42,
  startedAt: at(0),
  parts: [
    { name: 'fleet', health: 'ok', summary: '2 of 2 engines serve m', since: at(60) },
    {
      name: 'tunnels',
      health: 'failed',
      summary: 'the frp server refuses our token',
      since: at(90),
      problem: {
        code: 'tunnel-token-refused',
        title: 'the frp server refuses our token',
        evidence: 'token in login does not match',
        remedy: 'set SECRET_FRP_TOKEN',
      },
      parts: [{ name: 'frps:7000', health: 'failed', summary: 'not logged in', since: at(90) }],
    },
    {
      name: 'api-nodes',
      health: 'degraded',
      summary: 'waiting for the tunnel',
      since: at(90),
      problem: {
        code: 'not-registered',
        title: 'not registered',
        evidence: '',
        remedy: '',
        dependsOn: 'tunnel-token-refused',
      },
    },
  ],
}

test('status says every part with its age, the cause with its remedy, and the symptom behind it', () => {
  expect(renderStatus(node, plain, 120_000)).toBe(`✖ gonka-node 1.2.3: failed, the frp server refuses our token
  pid 42, up 2m

  ● fleet             1m  2 of 2 engines serve m
  ✖ tunnels          30s  the frp server refuses our token
  ✖   frps:7000      30s  not logged in
  ▲ api-nodes        30s  waiting for the tunnel

! tunnels: the frp server refuses our token [tunnel-token-refused]
    seen:  token in login does not match
    do:    set SECRET_FRP_TOKEN
    behind it: api-nodes (not registered)
`)
})

test('a symptom whose cause is not there is shown as a problem of its own', () => {
  const alone = splitCauses([node.parts[2]!])
  expect(alone.map(({ problem }) => problem.code)).toEqual(['not-registered'])
})

test.each([
  [59_000, '59s'],
  [60_000, '1m'],
  [3_599_000, '59m'],
  [3_600_000, '1h00'],
  [172_800_000, '2d'],
  [-5, '0s'],
])('an age of %i ms reads %s', (ms, text) => {
  expect(renderAge(ms)).toBe(text)
})
