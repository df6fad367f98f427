// `gonka-node stop`
import { type LaunchResponse, isTerminal } from '../api/launches.ts'
import { findLaunch } from './pick-launch.ts'
import { toShortId } from './render-launch.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { UsageError, exits, type Verb } from './verb.ts'

/** The daemon answers each within 28 s, `stopping` where the end is not proved by then. */
const tries = 5

export const stop: Verb = {
  usage: 'ID [--force] [--json] [--socket PATH]',
  summary: 'stops a launch: returns when its processes are gone and its GPUs are free',
  help: `ID             of the launch, its beginning, or its name
--force        also the node's own model; \`gonka-node launch --node\` starts it again
${socketHelp}

Exit status 1 when its end could not be proved.`,
  options: { ...socketOption, force: { type: 'boolean' }, json: { type: 'boolean' } },
  positionals: 1,
  async run({ positionals: [word], flags, out }) {
    if (word === undefined) throw new UsageError('needs the id or name of a launch')
    const socket = pickSocket(flags)
    const { launch_id: id } = await findLaunch(socket, word)
    const order = () => ask<LaunchResponse>(socket, 'POST /launches/stop', { id, force: flags['force'] === true })
    let found = await order()
    for (let at = 1; at < tries && !isTerminal(found.state); at += 1) {
      if (!flags['json']) out.complain(`launch ${toShortId(id)} is still ${found.state}`)
      found = await order()
    }
    out.write(flags['json'] ? `${JSON.stringify(found)}\n` : `launch ${toShortId(id)} is ${found.state}\n`)
    return isTerminal(found.state) ? exits.ok : exits.unhealthy
  },
}
