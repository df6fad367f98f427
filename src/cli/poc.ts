// `gonka-node poc`
import type { PartStatus } from '../api/status.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { UsageError, exits, type Verb } from './verb.ts'

/** GET /poc of the socket. */
export type PocReport = {
  part: PartStatus
  round: { blockHeight: number; blockHash: string; engines: number } | null
}

export const poc: Verb = {
  usage: '[stop] [--json] [--socket PATH]',
  summary: 'shows the round of Proof of Compute: engines, groups, speed, deliveries; `stop` ends it',
  help: `stop           stops generating on every engine; the broker starts the next round as ever
${socketHelp}

Exit status 1 when PoC has a problem.`,
  options: { ...socketOption, json: { type: 'boolean' } },
  words: ['stop'],
  positionals: 1,
  async run({ positionals, flags, out }) {
    const [order] = positionals
    if (order !== undefined && order !== 'stop') throw new UsageError(`"${order}" is unknown; the only order is stop`)
    if (order === 'stop') await ask(pickSocket(flags), 'POST /poc/stop')
    const found = await ask<PocReport>(pickSocket(flags), 'GET /poc')
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else {
      out.write(`${found.part.health}: ${found.part.summary}\n`)
      const rows = (found.part.parts ?? []).map((part) => [part.name, part.health, part.summary])
      if (rows.length > 0) out.write(renderTable(['ENGINE', 'HEALTH', 'STATE'], rows))
      const { problem } = found.part
      if (problem)
        out.write(`${problem.title} [${problem.code}]\n  seen: ${problem.evidence}\n  do:   ${problem.remedy}\n`)
    }
    return found.part.problem ? exits.unhealthy : exits.ok
  },
}
