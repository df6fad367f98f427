// Brings the real vLLM for CPUs and its model without weights into the ignored folder; setup/setup.sh knows how.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bringPackages, cacheFolder, provide } from '../support/real.ts'

const run = promisify(execFile)

export type RealVllm = {
  /** Of its environment. */
  python: string
  /** A folder with configuration and tokenizer, no weights. */
  model: string
}

/** Nearly 1 GB comes from the package index where nothing is there yet. */
const patience = 1_800_000

const pythons = 'python3.11 python3.12 python3.13 python3.14 python3'
const usable = 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'

export function provideVllm() {
  return provide('real vLLM', async (): Promise<RealVllm> => {
    await bringPackages({
      'gcc libc6-dev': 'echo "int x;" | gcc -shared -o /dev/null -x c -',
      binutils: 'command -v readelf',
      'util-linux': 'command -v flock',
      libnuma1: 'PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q libnuma.so.1',
      'python3 python3-venv': `for p in ${pythons}; do $p -c '${usable}' && exit 0; done; exit 1`,
    })
    const folder = join(cacheFolder, 'vllm')
    const setup = join(import.meta.dirname, 'setup', 'setup.sh')
    // A failed program's message is its command line; what it says on stderr is why.
    await run('bash', [setup, folder], { timeout: patience, maxBuffer: 64_000_000 }).catch(
      (error: Error & { stderr?: string }) => {
        throw new Error(error.stderr?.trim() || error.message, { cause: error })
      },
    )
    return { python: join(folder, 'vllm', 'bin', 'python'), model: join(folder, 'tiny-model') }
  })
}
