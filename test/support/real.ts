// Real components: there, or skipped by name with the reason; with CI=true a missing one is a failure.
import { execFile } from 'node:child_process'
import { mkdir, open, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe } from 'vitest'

const run = promisify(execFile)

/** Ignored by git; what a package manager brought is kept here from run to run. */
export const cacheFolder = join(import.meta.dirname, '..', '..', '.cache')

export type Provided<T> = { kind: 'here'; value: T } | { kind: 'missing'; reason: string }

/** @throws with CI=true where it is missing and `spared` is not set (frp comes from no package manager) */
export async function provide<T>(name: string, bring: () => Promise<T>, spared = false): Promise<Provided<T>> {
  try {
    return { kind: 'here', value: await bring() }
  } catch (error) {
    const reason = `${name}: ${(error as Error).message.trim().split('\n').slice(-3).join(' ')}`
    if (process.env['CI'] === 'true' && !spared) throw new Error(`missing in CI: ${reason}`, { cause: error })
    return { kind: 'missing', reason }
  }
}

/** A suite that needs it; skipped under a title that says why. */
export function describeWith<T>(title: string, found: Provided<T>, suite: (value: T) => void): void {
  if (found.kind === 'here') describe(title, () => suite(found.value))
  else describe.skip(`${title} (skipped: ${found.reason})`, () => suite(undefined as T))
}

/** Debian packages by their commands; installed when we are root. */
export function bringCommands(wanted: Readonly<Record<string, string>>): Promise<void> {
  const proofs = Object.entries(wanted).map(([command, name]) => [name, `command -v ${command}`])
  return bringPackages(Object.fromEntries(proofs) as Record<string, string>)
}

/** Debian packages (several by blanks) by a shell command that succeeds where they are not needed; installed when we are root. */
export async function bringPackages(wanted: Readonly<Record<string, string>>): Promise<void> {
  const missing: string[] = []
  for (const [names, proof] of Object.entries(wanted)) if (!(await succeeds(proof))) missing.push(...names.split(' '))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) throw new Error(`needs the packages ${missing.join(' ')}, and we are not root`)
  await onlyOne('apt', async () => {
    const options = {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 64_000_000,
      timeout: 600_000,
    }
    const install = () => run('apt-get', ['install', '-y', '--no-install-recommends', ...missing], options)
    await install().catch(async () => {
      await run('apt-get', ['update'], options)
      await install()
    })
  })
}

const succeeds = (command: string) =>
  run('sh', ['-c', command]).then(
    () => true,
    () => false,
  )

/** Test files run in parallel processes: one brings a component, the others wait. A lock older than 15 min was left by a killed run. */
export async function onlyOne<T>(name: string, work: () => Promise<T>): Promise<T> {
  await mkdir(cacheFolder, { recursive: true })
  const lock = join(cacheFolder, `${name}.lock`)
  for (;;) {
    try {
      await (await open(lock, 'wx')).close()
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const age =
        Date.now() -
        (await stat(lock).then(
          (found) => found.mtimeMs,
          () => Date.now(),
        ))
      if (age > 900_000) await unlink(lock).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  try {
    return await work()
  } finally {
    await unlink(lock).catch(() => {})
  }
}
