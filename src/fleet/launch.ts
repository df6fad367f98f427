// From a planned engine to a started one: a free port, the command line, the lease.
import type { Config } from '../config/schema.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { engineProblem } from '../engine/problems.ts'
import { toLaunchId } from './launch-record.ts'
import type { EnginePlan } from './plan.ts'
import type { Planner } from './planner.ts'
import { pickPort } from './ports.ts'
import { fleetProblem } from './problems.ts'
import type { Roster } from './roster.ts'

export type LaunchDeps = {
  config: Config
  planner: Planner
  roster: Roster
  log: Log
  /** Asked last: a stop may have come meanwhile. */
  isWanted: (plan: EnginePlan) => boolean
}

/** Ports above the node's own engines', which are tried up to 64 further on. */
const launchPorts = 65

/** Never rejects: what goes wrong is a failure of that engine, which the restart policy knows how to treat. */
export async function launch(plan: EnginePlan, deps: LaunchDeps): Promise<void> {
  const { config, planner, roster, log } = deps
  try {
    const { listeners } = config
    const { port, skipped } = await pickPort(toFirstPort(plan, listeners.inferencePort), toOurs(deps))
    for (const { port: held, by } of skipped)
      log.warn({ port: held, by, slot: plan.slot }, `port ${held} is held by ${by}`)
    const holders = skipped.map((one) => `${one.port} by ${one.by}`).join(', ')
    if (port === undefined) return roster.fail(plan, fleetProblem('no-engine-port', holders))
    const rendered = await planner.render(plan, port)
    if ('code' in rendered) return roster.fail(plan, rendered)
    for (const note of rendered.notes) log.warn({ slot: plan.slot }, note)
    if (deps.isWanted(plan)) roster.start(rendered.spec, plan)
  } catch (error) {
    log.error({ err: error, slot: plan.slot }, 'engine could not be started')
    roster.fail(plan, engineProblem('engine-not-launched', messageOf(error)))
  }
}

function toFirstPort({ owner, slot }: EnginePlan, inferencePort: number): number {
  return inferencePort + 1 + slot + (toLaunchId(owner) === undefined ? 0 : launchPorts)
}

function toOurs({ config: { listeners, launches }, roster }: LaunchDeps): Set<number> {
  const engines = roster.members.peek().map((one) => one.life.spec.port)
  return new Set([listeners.nodePort, listeners.inferencePort, listeners.controlPort, launches.grpcPort, ...engines])
}
