// Where paths really are, asked of a program of its own: a call to a disk that is gone (NFS) never comes back, and one of this
// process could not be given up.
import { plainEnv, runProgram } from '../core/run-program.ts'

type How = { program?: string; timeout?: number }

/** By path: without symbolic links, as far as it is there; undefined where its disk does not answer. Never rejects. */
export async function readRealPaths(
  paths: readonly string[],
  how: How = {},
): Promise<ReadonlyMap<string, string | undefined>> {
  const wanted = [...new Set(paths)]
  const all = await ask(wanted, how)
  if (all !== 'silent' && all.length === wanted.length) return new Map(wanted.map((path, at) => [path, all[at]]))
  const each = async (path: string) => {
    const found = await ask([path], how)
    return [path, found === 'silent' ? undefined : (found[0] ?? path)] as const
  }
  return new Map(await Promise.all(wanted.map(each)))
}

/** Less than asked for where some path cannot be told. */
async function ask(paths: readonly string[], { program = 'realpath', timeout = 5000 }: How) {
  if (paths.length === 0) return []
  const outcome = await runProgram(program, ['-mz', '--', ...paths], { timeout, env: plainEnv })
  if (outcome.kind === 'timed-out') return 'silent' as const
  return outcome.kind === 'exited' && outcome.code === 0 ? outcome.stdout.split('\0').slice(0, -1) : []
}
