// `gonka-node tunnels`
import { renderHostPort } from '../core/host-port.ts'
import type { TunnelView } from '../tunnel/tunnels.ts'
import { renderAge } from './render-status.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { exits, type Verb } from './verb.ts'

export const tunnels: Verb = {
  usage: '[--json] [--socket PATH]',
  summary: 'lists the tunnels: server, remote ports, whether a request came back through them',
  help: `${socketHelp}

proved: a request through the server's remote ports came back. unproved: frpc says running, but these ports cannot be
reached from here. Exit status 1 when any tunnel has a problem.`,
  options: { ...socketOption, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const found = await ask<TunnelView[]>(pickSocket(flags), 'GET /tunnels')
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else if (found.length === 0) out.write('no tunnels: FRP_SERVERS is not set\n')
    else out.write(renderTable(['SERVER', 'PHASE', 'FOR', 'INFERENCE', 'NODE'], found.map(toRow)))
    for (const { server, problem } of flags['json'] ? [] : found) {
      if (problem)
        out.write(
          `${renderHostPort(server)}: ${problem.title} [${problem.code}]\n  seen: ${problem.evidence}\n  do:   ${problem.remedy}\n`,
        )
    }
    return found.some(({ problem }) => problem !== undefined) ? exits.unhealthy : exits.ok
  },
}

const toRow = (tunnel: TunnelView) => [
  renderHostPort(tunnel.server),
  tunnel.phase,
  renderAge(Date.now() - Date.parse(tunnel.since)),
  String(tunnel.inferenceRemotePort),
  String(tunnel.nodeRemotePort),
]
