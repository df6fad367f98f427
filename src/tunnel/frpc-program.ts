// Finds the frpc program and asks it for its version, once per launch (16 ms for the real one).
import { access, constants } from 'node:fs/promises'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import type { Problem } from '../api/status.ts'
import { runProgram } from '../core/run-program.ts'
import { toProblem } from './problems.ts'

export type FrpcProgram = { kind: 'found'; path: string; version: string } | { kind: 'bad'; problem: Problem }

/** @param name a path, or a name to look for in `searchPath` */
export async function readFrpcProgram(name: string, searchPath: string, abort: AbortSignal): Promise<FrpcProgram> {
  const path = await findProgram(name, searchPath)
  if (!path) return bad('frpc-missing', name.includes('/') ? `no program at ${name}` : `no ${name} in ${searchPath}`)
  const outcome = await runProgram(path, ['-v'], { timeout: 5000, env: { PATH: searchPath }, abort, maxBytes: 4096 })
  if (outcome.kind !== 'exited')
    return bad('frpc-unusable', `${path} -v: ${outcome.kind === 'not-started' ? outcome.why : outcome.kind}`)
  const version = outcome.stdout.trim()
  if (outcome.code !== 0 || !/^v?\d+\.\d+/.test(version)) {
    const said = `${version}\n${outcome.stderr}`.trim().slice(0, 200)
    return bad('frpc-unusable', `${path} -v: exit ${outcome.code}, said ${JSON.stringify(said)}`)
  }
  return { kind: 'found', path, version }
}

async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  const isPath = isAbsolute(name) || name.includes('/')
  const candidates = isPath ? [resolve(name)] : searchPath.split(delimiter).map((folder) => join(folder, name))
  for (const path of candidates) {
    const isProgram = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isProgram) return path
  }
  return undefined
}

function bad(code: 'frpc-missing' | 'frpc-unusable', evidence: string): FrpcProgram {
  return { kind: 'bad', problem: toProblem(code, evidence) }
}
