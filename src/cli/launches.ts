// `gonka-node launches`
import type { LaunchResponse } from '../api/launches.ts'
import { renderLaunches } from './render-launch.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { exits, type Verb } from './verb.ts'

export const launches: Verb = {
  usage: '[--all] [--json] [--socket PATH]',
  summary: "lists the launches, the node's own model among them: GPUs, state, progress, what is wrong",
  help: `-a, --all      also those that have ended and are still kept
${socketHelp}`,
  options: { ...socketOption, all: { type: 'boolean', short: 'a' }, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const query = flags['all'] ? '?include_terminal=true' : ''
    const found = await ask<LaunchResponse[]>(pickSocket(flags), `GET /launches${query}`)
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else if (found.length === 0) out.write('no launches; `gonka-node launch MODEL` makes one\n')
    else out.write(renderLaunches(found, out, Date.now()))
    return exits.ok
  },
}
