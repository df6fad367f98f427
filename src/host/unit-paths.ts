// Opens the paths of the settings to the sandboxed unit: a drop-in at run time, made by the privileged step before the daemon
// is started. systemd takes it for this very start: what follows ExecStartPre= is run as the reloaded unit says.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
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
  const before = await readFile(path, 'utf8').catch(() => undefined)
  if (before === text) return undefined
  if (text === undefined) await removeFile(path)
  else {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
    // systemd complains of a unit file that not everybody may read; the unit's umask forbids it.
    await chmod(dirname(path), 0o755)
    await chmod(path, 0o644)
  }
  // 30 s: a reload runs every generator of the machine, and an instance that boots is busy.
  const outcome = await runProgram(systemctl, ['daemon-reload'], { timeout: 30_000, env: plainEnv })
  if (outcome.kind === 'exited' && outcome.code === 0) return undefined
  // The next start tries again.
  await removeFile(path)
  return `systemctl daemon-reload: ${outcome.kind === 'exited' ? `exit ${outcome.code}: ${outcome.stderr.trim()}` : outcome.kind}`
}
