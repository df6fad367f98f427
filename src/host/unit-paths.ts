// Opens the paths of the settings to the sandboxed unit: a drop-in at run time, made by the privileged step before the daemon
// is started. systemd takes it for this very start: what follows ExecStartPre= is run as the reloaded unit says.
import { access, chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { removeFile } from '../core/json-file.ts'

/** Open in gonka-node.service itself. */
const openInUnit = [
  '/data',
  '/dev/shm',
  '/etc/frp',
  '/tmp',
  '/var/tmp',
  '/var/cache/gonka-node',
  '/var/lib/gonka-node',
  '/var/log/vllm-poc',
  '/run/gonka-node',
]

const homes = ['/home', '/root', '/run/user']

const isBelow = (path: string, folders: readonly string[]) =>
  folders.some((one) => path === one || path.startsWith(`${one}/`))

/** Hidden from the unit (ProtectHome=) unless a setting names something there. Pure. */
export const isInHome = (path: string): boolean => isBelow(path, homes)

export type UnitPaths = {
  /** Folders that the service writes into, without symbolic links. */
  writable: readonly string[]
  /** Whether home folders must be seen at all. */
  homes: boolean
}

/** @returns undefined where the unit as installed is enough. Pure. */
export function renderUnitPaths({ writable, homes: needsHomes }: UnitPaths): string | undefined {
  // A line that systemd reads otherwise than we wrote it would open something else.
  const isPlain = (path: string) => path.startsWith('/') && path !== '/' && !/\p{Cc}/u.test(path)
  const wanted = [...new Set(writable)].filter((path) => isPlain(path) && !isBelow(path, openInUnit)).toSorted()
  const outer = wanted.filter((path) => !wanted.some((other) => path !== other && isBelow(path, [other])))
  if (outer.length === 0 && !needsHomes) return undefined
  return [
    '# Made by `gonka-node prepare` from the settings, before each start.',
    '[Service]',
    ...(needsHomes ? ['ProtectHome=read-only'] : []),
    ...outer.map((path) => `ReadWritePaths="-${path.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%')}"`),
    '',
  ].join('\n')
}

type Places = { folder?: string; systemctl?: string }

/** Makes it so, and has systemd read it where it changed. @returns what is wrong, or undefined */
export async function applyUnitPaths(
  unit: string,
  text: string | undefined,
  { folder = '/run/systemd/system', systemctl = 'systemctl' }: Places = {},
): Promise<string | undefined> {
  const path = join(folder, `${unit}.d`, '50-paths.conf')
  // Until systemd has read it: who is killed in between leaves this for the next start.
  const pending = join(dirname(path), '.50-paths.pending')
  const [before, wasPending] = await Promise.all([readFile(path, 'utf8').catch(() => undefined), isThere(pending)])
  if (before === text && !wasPending) return undefined
  await mkdir(dirname(path), { recursive: true })
  // systemd complains of what not everybody may read; the unit's umask forbids it.
  await chmod(dirname(path), 0o755)
  await writeFile(pending, '')
  await chmod(pending, 0o644)
  if (text === undefined) await removeFile(path)
  else await writeBeside(path, text)
  // 30 s: a reload runs every generator of the machine, and an instance that boots is busy.
  const outcome = await runProgram(systemctl, ['daemon-reload'], { timeout: 30_000, env: plainEnv })
  if (outcome.kind === 'exited' && outcome.code === 0) {
    await removeFile(pending)
    return undefined
  }
  // The next start tries again.
  await removeFile(path)
  return `systemctl daemon-reload: ${outcome.kind === 'exited' ? `exit ${outcome.code}: ${outcome.stderr.trim()}` : outcome.kind}`
}

/** Never half: systemd may read it at any time. */
async function writeBeside(path: string, text: string): Promise<void> {
  const beside = `${path}.new`
  await writeFile(beside, text)
  await chmod(beside, 0o644)
  await rename(beside, path)
}

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
