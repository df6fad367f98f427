// `gonka-node leave`: the one way in which a record at an API node is disabled or deleted.
import type { LeaveResult } from '../api-nodes/leave.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { exits, type Verb } from './verb.ts'

export const leave: Verb = {
  usage: '[--id OLD] [--delete] [--json] [--socket PATH]',
  summary: 'disables this node at every API node, or what an earlier CLIENT_ID left behind there',
  help: `--id OLD       the record of that id instead of our own
--delete       also deletes the record; its broker may take minutes for it
${socketHelp}

A disabled node keeps the work of the running epoch and gets none in the next. Afterwards this daemon registers nothing
until it is started again: to leave for good, go on with \`systemctl disable --now gonka-node\`.`,
  options: { ...socketOption, id: { type: 'string' }, delete: { type: 'boolean' }, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const wish = { ...(typeof flags['id'] === 'string' && { id: flags['id'] }), remove: flags['delete'] === true }
    const results = await ask<LeaveResult[]>(pickSocket(flags), 'POST /api-nodes/leave', wish)
    if (flags['json']) out.write(`${JSON.stringify(results)}\n`)
    else if (results.length === 0) out.write('nothing to leave: API_NODES is not set\n')
    else
      out.write(
        renderTable(
          ['API NODE', 'ID', 'OUTCOME', 'WHY'],
          results.map((one) => [one.apiNode, one.id, one.outcome, one.why ?? '']),
        ),
      )
    return results.some(({ outcome }) => outcome === 'failed') ? exits.unhealthy : exits.ok
  },
}
