// The status page as text. Pure: symptoms are listed under their cause, times are relative to `now`.
import type { Health, NodeStatus, PartStatus, Problem } from '../api/status.ts'
import { paint } from './output.ts'
import type { Output } from './verb.ts'

const marks: Record<Health, { sign: string; colour: 'red' | 'green' | 'yellow' | 'grey' }> = {
  ok: { sign: '●', colour: 'green' },
  starting: { sign: '◌', colour: 'yellow' },
  degraded: { sign: '▲', colour: 'yellow' },
  failed: { sign: '✖', colour: 'red' },
  off: { sign: '○', colour: 'grey' },
}

export function renderStatus(node: NodeStatus, out: Output, now: number): string {
  const { sign, colour } = marks[node.health]
  const title = `${paint(out, colour, sign)} gonka-node ${node.version}: ${paint(out, 'bold', node.health)}, ${node.summary}`
  const up = `  pid ${node.pid}, up ${renderAge(now - Date.parse(node.startedAt))}`
  const width = Math.max(8, ...flat(node.parts).map(({ part, depth }) => part.name.length + 2 * depth))
  const rows = flat(node.parts).map(({ part, depth }) => renderPart(part, { depth, width, out, now }))
  const causes = splitCauses(node.parts)
  const problems = causes.map(({ name, problem, symptoms }) => renderProblem(name, problem, symptoms, out))
  return [title, up, '', ...rows, ...(problems.length > 0 ? ['', ...problems] : [])].join('\n') + '\n'
}

type Flat = { part: PartStatus; depth: number }

const flat = (parts: readonly PartStatus[], depth = 0): Flat[] =>
  parts.flatMap((part) => [{ part, depth }, ...flat(part.parts ?? [], depth + 1)])

function renderPart(part: PartStatus, at: { depth: number; width: number; out: Output; now: number }): string {
  const { sign, colour } = marks[part.health]
  const name = `${'  '.repeat(at.depth)}${part.name}`.padEnd(at.width)
  const age = renderAge(at.now - Date.parse(part.since)).padStart(7)
  return `  ${paint(at.out, colour, sign)} ${name}  ${paint(at.out, 'grey', age)}  ${part.summary}`
}

function renderProblem(name: string, problem: Problem, symptoms: string[], out: Output): string {
  const lines = [
    `${paint(out, 'red', '!')} ${name}: ${paint(out, 'bold', problem.title)} [${problem.code}]`,
    ...(problem.evidence ? [`    seen:  ${problem.evidence.trim().replaceAll('\n', '\n           ')}`] : []),
    ...(problem.remedy ? [`    do:    ${problem.remedy}`] : []),
    ...(symptoms.length > 0 ? [`    behind it: ${symptoms.join(', ')}`] : []),
  ]
  return lines.join('\n')
}

type Cause = { name: string; problem: Problem; symptoms: string[] }

/** Problems whose cause is present too are named under it; the same problem of a part and of its own detail is said once. */
export function splitCauses(parts: readonly PartStatus[]): Cause[] {
  const all = flat(parts).flatMap(({ part }) => (part.problem ? [{ name: part.name, problem: part.problem }] : []))
  const codes = new Set(all.map(({ problem }) => problem.code))
  const isSymptom = ({ problem }: { problem: Problem }) =>
    problem.dependsOn !== undefined && problem.dependsOn !== problem.code && codes.has(problem.dependsOn)
  const causes = new Map<string, Cause>()
  for (const one of all.filter((found) => !isSymptom(found))) {
    causes.set(`${one.problem.code}\n${one.problem.evidence}`, { ...one, symptoms: [] })
  }
  for (const symptom of all.filter(isSymptom)) {
    const cause = [...causes.values()].find(({ problem }) => problem.code === symptom.problem.dependsOn)
    // A chain of symptoms (its direct cause is itself hidden) is shown whole rather than lost.
    if (cause) cause.symptoms.push(`${symptom.name} (${symptom.problem.title})`)
    else causes.set(`${symptom.problem.code}\n${symptom.problem.evidence}`, { ...symptom, symptoms: [] })
  }
  return [...causes.values()]
}

/** `12s`, `3m`, `2h05`, `4d`. */
export function renderAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours}h${String(minutes % 60).padStart(2, '0')}` : `${Math.floor(hours / 24)}d`
}
