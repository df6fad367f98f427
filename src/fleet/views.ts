// The fleet for people: one line per engine, and one for all of them. Pure.
import type { Health, PartStatus, Problem } from '../api/status.ts'
import type { Step } from './decide.ts'
import type { EngineView, Planned } from './fleet.ts'
import type { Progress } from './plan.ts'
import { fleetProblem } from './problems.ts'
import type { Member } from './roster.ts'

type Wait = Extract<Step, { do: 'wait' }>

/** Reads the signals of the lives: call it where they should be followed. */
export function toEngineView({ life, plan, parked, restarts }: Member): EngineView {
  const phase = life.phase.value
  const { stage, percent } = life.progress.value
  const problem = life.problem.value ?? (phase === 'ending' ? life.cause.value : undefined)
  const { pid } = life
  return {
    id: life.id,
    slot: plan.slot,
    model: plan.model,
    gpus: plan.gpus,
    port: life.spec.port,
    phase: parked && phase !== 'ending' ? 'parked' : phase,
    ...(stage !== undefined && { stage }),
    ...(percent !== undefined && { percent }),
    ...(pid !== undefined && { pid }),
    adopted: life.adopted,
    since: life.since.value.toISOString(),
    restarts,
    logPath: life.logPath,
    ...(problem && { problem }),
  }
}

/** A planned engine that does not live. */
export function toAbsentView(
  wait: Wait,
  more: { model: string; gpus: readonly number[]; since: string; restarts: number },
) {
  const phase = wait.verdict && wait.verdict.kind !== 'now' ? wait.verdict.kind : 'waiting'
  return {
    id: `slot-${wait.slot}`,
    slot: wait.slot,
    port: 0,
    phase,
    stage: wait.why,
    adopted: false,
    ...more,
    ...(wait.problem && { problem: wait.problem }),
  } satisfies EngineView
}

export function toPart(view: EngineView): PartStatus {
  return {
    name: `engine ${view.slot}`,
    health: toHealth(view),
    summary: describeEngine(view),
    since: view.since,
    ...(view.problem && { problem: view.problem }),
  }
}

export type FleetFacts = {
  progress: Progress
  planned: Planned | undefined
  views: readonly EngineView[]
  /** Why nothing can be started yet. */
  waiting?: { why: string; problem?: Problem | undefined } | undefined
  stoppedBy: 'broker' | 'operator' | undefined
  /** Seconds of grace left, while parked. */
  graceLeft: number
  /** What is said when nothing is wanted. */
  idle: { health: Health; summary: string }
  /** Problems beside the engines: state disk, orders, GPUs. */
  others: readonly Problem[]
}

export function describeFleet(facts: FleetFacts): { health: Health; summary: string; problem?: Problem | undefined } {
  const found = describeProgress(facts)
  const other = facts.others[0]
  if (found.problem || !other || found.health === 'failed') return found
  return { health: 'degraded', summary: `${found.summary}; ${other.title}`, problem: other }
}

function describeProgress(facts: FleetFacts): { health: Health; summary: string; problem?: Problem | undefined } {
  const { progress, views, waiting } = facts
  switch (progress.kind) {
    case 'nothing':
      return facts.idle
    case 'parked':
      if (facts.stoppedBy === 'operator') {
        const summary = 'stopped by the operator until `gonka-node launch --node`; orders of a broker are refused'
        // Said first of all, where nothing is wrong: it stands until he remembers it.
        return { health: 'ok', summary: views.length > 0 ? `${summary}; engines end` : summary }
      }
      return {
        health: 'ok',
        summary:
          views.length > 0 && facts.graceLeft > 0
            ? `stopped by the broker, engines end in ${facts.graceLeft} s unless it orders them again`
            : 'stopped by the broker',
      }
    case 'failed':
      return {
        health: 'failed',
        summary: `${progress.problem.title}: ${progress.problem.evidence}`,
        problem: progress.problem,
      }
    case 'serving':
      return describeServing(facts)
    case 'starting': {
      if (waiting && !views.some((one) => one.pid !== undefined))
        return { health: waiting.problem ? 'degraded' : 'starting', summary: waiting.why, problem: waiting.problem }
      const problem = views.find((one) => one.problem)?.problem
      const summary = views.map((one) => `engine ${one.slot} ${describeEngine(one)}`).join(', ')
      return { health: problem ? 'degraded' : 'starting', summary: summary || 'engines are about to start', problem }
    }
  }
}

function describeServing({ planned, views }: FleetFacts): { health: Health; summary: string; problem?: Problem } {
  const serving = views.filter(isWell)
  const wanted = Math.max(planned?.instances ?? 0, serving.length)
  const summary = `${serving.length} of ${wanted} engines serve ${planned?.model ?? serving[0]?.model ?? 'a model'}`
  const away = views.filter((one) => !isWell(one) && (one.phase !== 'ending' || one.problem))
  // One that waits for the end of another in its place is told by what is wrong with that one.
  const absent = away.filter((one) => one.problem || !away.some(({ slot, problem }) => slot === one.slot && problem))
  if (serving.length >= wanted) return { health: 'ok', summary }
  const rest = absent.map((one) => `engine ${one.slot} ${describeEngine(one)}`).join(', ')
  const problem = absent.find((one) => one.problem)?.problem ?? fleetProblem('engines-missing', rest || summary)
  return { health: 'degraded', summary: rest ? `${summary}; ${rest}` : summary, problem }
}

/** One that serves with a problem says itself that it cannot work. */
const isWell = ({ phase, problem }: EngineView): boolean => phase === 'serving' && problem === undefined

function describeEngine(view: EngineView): string {
  const percent = view.percent === undefined ? '' : ` ${Math.round(view.percent)} %`
  switch (view.phase) {
    case 'launching':
    case 'loading':
      return `${view.stage ?? (view.phase === 'launching' ? 'is launched' : 'loads')}${percent}`
    case 'waiting':
    case 'backing-off':
    case 'given-up':
      return view.stage ?? view.phase
    case 'serving':
      return view.problem ? `gets no requests: ${view.problem.title}` : `serves ${view.model} on port ${view.port}`
    case 'parked':
      return 'is parked'
    case 'ending':
      return view.problem ? `is ending: ${view.problem.title}` : 'is ending'
    case 'gone':
      return 'is gone'
  }
}

function toHealth(view: EngineView): Health {
  switch (view.phase) {
    case 'serving':
      return view.problem ? 'degraded' : 'ok'
    case 'given-up':
      return 'failed'
    case 'backing-off':
      return 'degraded'
    case 'parked':
    case 'gone':
      return 'off'
    case 'waiting':
      return view.problem ? 'degraded' : 'starting'
    case 'launching':
    case 'loading':
    case 'ending':
      return view.problem ? 'degraded' : 'starting'
  }
}
