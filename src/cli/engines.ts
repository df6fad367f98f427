// `gonka-node engines`
import type { EngineView } from '../fleet/fleet.ts'
import { renderAge } from './render-status.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { exits, type Verb } from './verb.ts'

export const engines: Verb = {
  usage: '[--json] [--socket PATH]',
  summary: 'lists the engines: model, GPUs, port, phase, load progress, restarts',
  help: `${socketHelp}

Exit status 1 when any engine has a problem.`,
  options: { ...socketOption, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const found = await ask<EngineView[]>(pickSocket(flags), 'GET /engines')
    if (flags['json']) out.write(`${JSON.stringify(found)}\n`)
    else if (found.length === 0) out.write('no engine runs; `gonka-node status` says why\n')
    else
      out.write(
        renderTable(['SLOT', 'PHASE', 'FOR', 'PID', 'PORT', 'GPUS', 'RESTARTS', 'MODEL', 'STAGE'], found.map(toRow)),
      )
    for (const { slot, problem } of flags['json'] ? [] : found) {
      if (problem)
        out.write(
          `engine ${slot}: ${problem.title} [${problem.code}]\n  seen: ${problem.evidence}\n  do:   ${problem.remedy}\n`,
        )
    }
    return found.some(({ problem }) => problem !== undefined) ? exits.unhealthy : exits.ok
  },
}

function toRow(engine: EngineView): string[] {
  const stage = [
    engine.stage,
    engine.percent === undefined ? undefined : `${Math.round(engine.percent)} %`,
    engine.adopted ? 'adopted' : undefined,
  ]
  return [
    String(engine.slot),
    engine.phase,
    renderAge(Date.now() - Date.parse(engine.since)),
    String(engine.pid ?? '-'),
    engine.port === 0 ? '-' : String(engine.port),
    engine.gpus.join(',') || '-',
    String(engine.restarts),
    engine.model,
    stage.filter((one) => one !== undefined).join(', '),
  ]
}
