// `gonka-node api-nodes`
import type { ApiNodeView } from '../api-nodes/view.ts'
import { renderAge } from './render-status.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { exits, type Verb } from './verb.ts'

export const apiNodes: Verb = {
  usage: '[--json] [--socket PATH]',
  summary: 'lists the API nodes: registered or why not, what they were told, how their broker sees us',
  help: `${socketHelp}

Exit status 1 when any API node has a problem.`,
  options: { ...socketOption, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const found = await ask<ApiNodeView[]>(pickSocket(flags), 'GET /api-nodes')
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else if (found.length === 0) out.write('stands alone: API_NODES is not set\n')
    else
      out.write(renderTable(['API NODE', 'PHASE', 'FOR', 'ID', 'ANNOUNCED', 'SEEN AS', 'VERIFIED'], found.map(toRow)))
    for (const { address, problem, differences } of flags['json'] ? [] : found) {
      if (problem)
        out.write(
          `${address}: ${problem.title} [${problem.code}]\n  seen: ${problem.evidence}\n  do:   ${problem.remedy}\n`,
        )
      for (const one of differences) out.write(`${address}: ${one}\n`)
    }
    return found.some(({ problem }) => problem !== undefined) ? exits.unhealthy : exits.ok
  },
}

const age = (iso: string) => renderAge(Date.now() - Date.parse(iso))

const toRow = (view: ApiNodeView) => [
  view.address,
  view.phase,
  age(view.since),
  view.registeredId ?? '-',
  view.announced ?? '-',
  view.seenAs ?? '-',
  view.lastVerified ? `${age(view.lastVerified)} ago` : '-',
]
