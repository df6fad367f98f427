// Starts the rehearsal engine as a process of its own and collects what it says.
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'

export type Engine = {
  port: number
  url: string
  child: ChildProcess
  out: () => string
  err: () => string
  exited: Promise<{ code: number | null; signal: string | null }>
  core: () => number | undefined
  serving: () => Promise<void>
}

const program = join(import.meta.dirname, '../../src/rehearsal/engine.ts')
const module = 'vllm.entrypoints.openai.api_server'

export async function startEngine(
  env: Record<string, string> = {},
  args: readonly string[] = [],
  told?: number,
): Promise<Engine> {
  const port = told ?? (await freePort())
  const where = [
    '--model',
    '/models/tiny',
    '--served-model-name',
    'tiny',
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
  ]
  const child = spawn(process.execPath, [program, '-m', module, ...where, ...args], {
    env: { PATH: process.env['PATH'], REHEARSAL_LOAD_MS: '50', REHEARSAL_TOKEN_MS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const said = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text))
  onTestFinished(() => killGroup(child.pid))
  const url = `http://127.0.0.1:${port}`
  return {
    port,
    url,
    child,
    out: () => said.out,
    err: () => said.err,
    exited: new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal }))),
    core: () => findMember(child.pid ?? 0),
    serving: async () => void (await eventually('the engine to serve', async () => (await fetch(`${url}/health`)).ok)),
  }
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid) process.kill(-pid, 'SIGKILL')
  } catch {
    // nobody left
  }
}

/** The core of the process group `group`, alive. */
export function findMember(group: number): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== group)
  const found = pids.find((pid) => {
    try {
      const [state, , member] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
      return (
        state !== 'Z' && Number(member) === group && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('VLLM::')
      )
    } catch {
      return false
    }
  })
  return found === undefined ? undefined : Number(found)
}

export async function post(url: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(url, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}
