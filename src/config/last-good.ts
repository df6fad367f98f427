// A typo never takes an earning node down: the variables of the last good configuration are kept, 0600, and used while the
// new one is bad or gone. A state folder that is full or read-only never keeps a good configuration from being used.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { type Found, readJson, writeJson } from '../core/json-file.ts'
import { engineVariable } from './engine-env.ts'
import type { Finding } from './finding.ts'
import type { Given, Setting } from './given.ts'
import { hostSlice } from './host.ts'
import { judgeGiven } from './judge.ts'
import { type Common, type Loaded, loadConfig, type Origins, originsOf } from './load.ts'
import { readMachineMark } from './machine-mark.ts'
import { isOurs } from './names.ts'
import type { Config } from './schema.ts'
import { secretsOfGiven } from './secrets-of.ts'
import type { ConfigPlaces } from './sources.ts'

/** What the daemon starts with. last-good: it runs, degraded, and `problems` are those of the new configuration. */
export type Startable =
  | Loaded
  | (Common & {
      kind: 'last-good'
      config: Config
      origins: Origins
      problems: readonly Finding[]
      savedAt: Date
    })

const originSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('default') }),
  z.object({ kind: z.literal('environment') }),
  z.object({ kind: z.literal('file'), path: z.string(), line: z.number() }),
])

const keptSchema = z.object({
  version: z.literal(1),
  savedAt: z.iso.datetime(),
  /** Of which machine; on another one it is void. */
  machine: z.string(),
  variables: z.record(z.string(), z.object({ value: z.string(), origin: originSchema })),
})

type Kept = z.output<typeof keptSchema>

/**
 * Loads the configuration for a run: a good one is kept and used, else the last good one of this machine. Never throws.
 * @param machine see readMachineMark(); tests bring their own
 * @param keep false for whoever only looks: the CLI, as root and with a shell's environment, must not write for the daemon
 */
export async function loadOrLastGood(places: ConfigPlaces, machine?: string, keep = true): Promise<Startable> {
  const [loaded, mark] = await Promise.all([loadConfig(places), machine ?? readMachineMark()])
  return keepOrFallBack(loaded, {
    path: join(stateDirOf(loaded.given), 'last-good-config.json'),
    machine: mark,
    keep,
  })
}

/** Outside of what the service owns. */
const copyOfRoot = '/var/lib/gonka-node-prepare/last-good-config.json'

/**
 * The same for the privileged step, which believes nothing that the service could have written: a forged configuration would
 * have root make and give away folders anywhere. It keeps a copy of its own.
 */
export async function loadOrLastGoodOfRoot(
  places: ConfigPlaces,
  { path = copyOfRoot, machine, keep }: { path?: string; machine?: string; keep: boolean },
): Promise<Startable> {
  const [loaded, mark] = await Promise.all([loadConfig(places), machine ?? readMachineMark()])
  return keepOrFallBack(loaded, { path, machine: mark, keep, ofRoot: true })
}

type Copy = { path: string; machine: string; keep: boolean; ofRoot?: boolean }

async function keepOrFallBack(loaded: Loaded, copy: Copy): Promise<Startable> {
  const { path, machine } = copy
  if (loaded.kind === 'ok') {
    const failed = copy.keep ? await writeLastGood(copy, loaded.given) : undefined
    return failed ? { ...loaded, warnings: [...loaded.warnings, failed] } : loaded
  }
  const found = await readKept(copy)
  if (found.kind === 'none') return loaded
  const back = found.kind === 'value' ? fallBack(loaded, found.value, machine) : found.why
  if (typeof back !== 'string') return back
  const warning = { where: path, message: `the last good configuration is of no use: ${back}; correct the new one` }
  return { ...loaded, warnings: [...loaded.warnings, warning] }
}

/** A fifo would be waited for. */
async function readKept({ path, ofRoot = false }: Copy): Promise<Found<Kept>> {
  const facts = await stat(path).catch(() => undefined)
  if (facts && !facts.isFile()) return { kind: 'bad', why: 'is no regular file' }
  if (facts && ofRoot && (facts.uid !== 0 || (facts.mode & 0o022) !== 0))
    return { kind: 'bad', why: 'somebody else than root can write it' }
  return readJson(path, keptSchema)
}

/** @returns why it cannot be used, where it cannot */
function fallBack(loaded: Exclude<Loaded, { kind: 'ok' }>, kept: Kept, machine: string): Startable | string {
  if (kept.machine !== machine) return 'it was kept on another machine'
  for (const given of candidates(kept, loaded.given)) {
    const { config } = judgeGiven(given)
    if (!config) continue
    return {
      kind: 'last-good',
      config,
      origins: originsOf(given),
      problems: problemsOfNext(loaded),
      savedAt: new Date(kept.savedAt),
      places: loaded.places,
      fingerprint: loaded.fingerprint,
      warnings: loaded.warnings,
      given,
      secrets: [...new Set([...secretsOfGiven(given), ...loaded.secrets])],
    }
  }
  return 'this version refuses it'
}

/** The environment of this process counts where it can (systemd's folders): it is what is bad where it cannot. */
function* candidates(kept: Kept, now: Given): Generator<Given> {
  const stored = Object.entries(kept.variables) as [string, Setting][]
  const environment = [...now].filter(([, { origin }]) => origin.kind === 'environment')
  yield new Map([...stored, ...environment])
  yield new Map([...stored, ...environment.filter(([name]) => /^(STATE|RUNTIME)_DIRECTORY$/.test(name))])
}

/** What is wrong with a configuration that cannot be used. */
export const problemsOfNext = (next: Exclude<Loaded, { kind: 'ok' }>): readonly Finding[] =>
  next.kind === 'bad' ? next.problems : [gone(next.path)]

const gone = (path: string): Finding => ({
  where: path,
  message: 'is missing or empty; write it again',
  code: 'config-missing',
})

async function writeLastGood(copy: Copy, given: Given): Promise<Finding | undefined> {
  const { path, machine } = copy
  const ours = [...given].filter(([name]) => isOurs(name) || engineVariable(name))
  const variables = Object.fromEntries(ours.sort(([a], [b]) => (a < b ? -1 : 1)))
  const old = await readKept(copy)
  if (old.kind === 'value' && old.value.machine === machine && sameVariables(old.value.variables, variables)) return
  const kept: Kept = { version: 1, savedAt: new Date().toISOString(), machine, variables }
  try {
    await writeJson(path, kept)
    return undefined
  } catch (error) {
    const message = `the configuration could not be kept as the last good one: ${messageOf(error)}; free space there or make it writable`
    return { where: path, message, code: 'config-not-saved' }
  }
}

const sameVariables = (left: Kept['variables'], right: Kept['variables']) =>
  JSON.stringify(left) === JSON.stringify(right)

const stateDirOf = (given: Given) => folderOf(hostSlice.shape.stateDir, given.get('STATE_DIRECTORY'))

/** The run folder, also where the configuration is bad. */
export const runDirOf = (given: Given): string => folderOf(hostSlice.shape.runDir, given.get('RUNTIME_DIRECTORY'))

function folderOf(field: typeof hostSlice.shape.stateDir, setting: Setting | undefined): string {
  const found = field.safeParse(setting?.value)
  return found.success ? found.data : field.parse(undefined)
}
