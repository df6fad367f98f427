// How the configuration is, as a part of the machine: ok, running on the last good one, or waited for.
import { signal } from '@preact/signals-core'
import type { Problem, Status } from '../api/status.ts'
import type { Component } from '../core/component.ts'
import { type Finding, renderFinding } from './finding.ts'
import type { Startable } from './last-good.ts'
import { configProblems, toConfigProblem } from './problems.ts'

/** It never changes: another configuration is another process. */
export function configPart(loaded: Startable): Component {
  return { name: 'config', status: signal(describeLoaded(loaded)), end: async () => {} }
}

function describeLoaded(loaded: Startable): Status {
  const since = new Date()
  const problem = problemOf(loaded)
  switch (loaded.kind) {
    case 'ok': {
      const count = loaded.warnings.length
      const summary = `${loaded.given.size} variables${count > 0 ? `, ${count} warnings: gonka-node config` : ''}`
      return problem ? { health: 'degraded', summary: problem.title, since, problem } : { health: 'ok', summary, since }
    }
    case 'last-good':
      return {
        health: 'degraded',
        summary: `running on the last good configuration of ${loaded.savedAt.toISOString()}: ${problem?.title}`,
        since,
        ...(problem && { problem }),
      }
    case 'bad':
      return { health: 'failed', summary: configProblems['config-bad'].title, since, ...(problem && { problem }) }
    case 'missing':
      return { health: 'starting', summary: `waiting for ${loaded.path}`, since, ...(problem && { problem }) }
  }
}

/** What is wrong with the configuration as one problem: every finding in its evidence. */
export function problemOf(loaded: Startable): Problem | undefined {
  if (loaded.kind === 'missing')
    return toProblem('config-missing', [{ where: loaded.path, message: 'is missing or empty' }])
  if (loaded.kind === 'ok') {
    const unsaved = loaded.warnings.filter((one) => one.code === 'config-not-saved')
    return unsaved.length > 0 ? toProblem('config-not-saved', unsaved) : undefined
  }
  return toProblem(loaded.problems.find((one) => one.code)?.code ?? 'config-bad', loaded.problems)
}

function toProblem(code: keyof typeof configProblems, findings: readonly Finding[]): Problem {
  return toConfigProblem(code, findings.map(renderFinding).join('\n'))
}
