// `gonka-node status`: what an operator looks at first.
import type { NodeStatus } from '../api/status.ts'
import { ask, listen } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderStatus } from './render-status.ts'
import { exits, type Invocation, type Verb } from './verb.ts'

export const status: Verb = {
  usage: '[--watch] [--json] [--socket PATH]',
  summary: 'shows every part: how it is, since when, what is wrong and what to do',
  help: `-w, --watch    follows until Ctrl-C (on a terminal the screen is redrawn; with --json one line per change)
${socketHelp}

Exit status 1 when the node is degraded or failed, 0 while it starts or works.`,
  options: { ...socketOption, watch: { type: 'boolean', short: 'w' }, json: { type: 'boolean' } },
  positionals: 0,
  run: async (call) => (call.flags['watch'] ? follow(call) : once(call)),
}

async function once({ flags, out }: Invocation): Promise<number> {
  const found = await ask<NodeStatus>(pickSocket(flags), 'GET /status')
  out.write(flags['json'] ? `${JSON.stringify(found)}\n` : renderStatus(found, out, Date.now()))
  return judgeExit(found)
}

async function follow({ flags, out }: Invocation): Promise<number> {
  let last: NodeStatus | undefined
  for await (const found of listen<NodeStatus>(pickSocket(flags), 'GET /status/watch')) {
    last = found
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else out.write(`${out.colours ? '\u001B[H\u001B[2J' : ''}${renderStatus(found, out, Date.now())}\n`)
  }
  return last ? judgeExit(last) : exits.unhealthy
}

const judgeExit = (found: NodeStatus) =>
  found.health === 'failed' || found.health === 'degraded' ? exits.unhealthy : exits.ok
