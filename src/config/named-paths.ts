// The paths that settings name: the folders that are written, and every path that somebody must at least see. Pure.
import { join } from 'node:path'
import { engineVariable } from './engine-env.ts'
import { renderOrigin } from './finding.ts'
import type { Given } from './given.ts'
import { isOurs } from './names.ts'
import type { Config } from './schema.ts'

export type NamedPath = { variable: string; where: string; path: string }

/** Folders that engines write into, among the variables that go on to them. */
const cacheName =
  /(_CACHE|_CACHE_(DIR|PATH|ROOT)|_WORKSPACE_BASE|_PROFILER_DIR|_CONFIG_ROOT|_RPC_BASE_PATH)$|^TORCH_HOME$/

/** @param caches where model files and compile caches really are: HF_HOME and VLLM_CACHE_ROOT, or what stands for them */
export function listWritten(
  { host, tunnels, engineEnv }: Config,
  given: Given,
  caches: { hfHome: string; cacheRoot: string | undefined },
): NamedPath[] {
  const own: Record<string, string | undefined> = {
    HF_HOME: caches.hfHome,
    VLLM_CACHE_ROOT: caches.cacheRoot,
    LOG_DIR: host.logDir,
    FRP_CONFIG_DIR: tunnels.servers.length > 0 ? tunnels.configDir : undefined,
  }
  const theirs = Object.entries(engineEnv).filter(([name, value]) => cacheName.test(name) && value.startsWith('/'))
  return [...Object.entries(own), ...theirs].flatMap(([variable, path]) =>
    path === undefined ? [] : [{ variable, path: join(path), where: whereOf(given, variable) }],
  )
}

const whereOf = (given: Given, variable: string) => renderOrigin(given.get(variable)?.origin ?? { kind: 'default' })

/** Everything that looks like an absolute path in any value, also within arguments. */
export function listNamed(given: Given): string[] {
  const values = [...given].filter(([name]) => isOurs(name) || engineVariable(name)).map(([, { value }]) => value)
  return values.flatMap((value) => [...value.matchAll(/(?<![^\s=:,'"])\/[^\s:,'"]+/g)].map(([path]) => path))
}
