// Runs a short-lived program and says how it ended, as a value. Bounded in time and output; a hang costs its whole group.
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { onAbort, within } from './abort.ts'
import { codeOf, messageOf } from './errors.ts'

export type Outcome =
  | { kind: 'exited'; code: number; stdout: string; stderr: string }
  /** No such program, or not executable. */
  | { kind: 'not-started'; code: string | undefined; why: string }
  /** Killed at the bound; `gone` resolves when the kernel let it go, which never happens in uninterruptible sleep. */
  | { kind: 'timed-out'; pid: number; gone: Promise<void>; stderr: string }
  /** Killed on request and, where the kernel let it go within a second, gone. */
  | { kind: 'aborted' }

export type ProgramOptions = {
  /** ms */
  timeout: number
  /** The child's whole environment: our secrets stay here. */
  env?: Readonly<Record<string, string>>
  abort?: AbortSignal
  input?: string
  /** Of stdout and of stderr each; what comes later is dropped. */
  maxBytes?: number
}

/** For programs that need nothing from us. C: messages are matched. */
export const plainEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' } as const

/** Never rejects. */
export function runProgram(command: string, args: readonly string[], options: ProgramOptions): Promise<Outcome> {
  if (options.abort?.aborted) return Promise.resolve({ kind: 'aborted' })
  return new Promise((resolve) => {
    const child = spawnGroup(command, args, options)
    if (!(child instanceof Error)) watchChild(child, options, resolve)
    else resolve({ kind: 'not-started', code: codeOf(child), why: messageOf(child) })
  })
}

/** In a group of its own, so that a kill reaches what it started. */
function spawnGroup(command: string, args: readonly string[], options: ProgramOptions): ChildProcess | Error {
  try {
    return spawn(command, args, { detached: true, stdio: 'pipe', env: { ...(options.env ?? plainEnv) } })
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function watchChild(child: ChildProcess, options: ProgramOptions, resolve: (outcome: Outcome) => void): void {
  const [stdout, stderr] = [collect(child.stdout, options.maxBytes), collect(child.stderr, options.maxBytes)]
  const bound = within(options.timeout, options.abort)
  const gone = new Promise<void>((settle) => child.once('exit', () => settle()))
  const forget = onAbort(bound, () => {
    killGroup(child)
    if (options.abort?.aborted)
      void Promise.race([gone, sleep(1000, undefined, { ref: false })]).then(() => finish({ kind: 'aborted' }))
    else finish({ kind: 'timed-out', pid: child.pid ?? 0, gone, stderr: stderr.text() })
  })
  function finish(outcome: Outcome): void {
    forget()
    child.stdout?.destroy()
    child.stderr?.destroy()
    child.unref()
    resolve(outcome)
  }
  child.once('error', (error) => finish({ kind: 'not-started', code: codeOf(error), why: messageOf(error) }))
  child.once('exit', (code, signal) => {
    if (bound.aborted) return
    const done = () =>
      finish({ kind: 'exited', code: code ?? (signal ? 128 : 1), stdout: stdout.text(), stderr: stderr.text() })
    child.once('close', done)
    // A grandchild may hold the pipes for ever: what has not come 250 ms after the exit is not waited for.
    setTimeout(done, 250).unref()
  })
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL')
  }
}

function collect(stream: NodeJS.ReadableStream | null, maxBytes = 4_000_000): { text(): string } {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('data', (chunk: Buffer) => {
    if (size < maxBytes) chunks.push(chunk.subarray(0, maxBytes - size))
    size += chunk.length
  })
  stream?.on('error', () => {})
  return { text: () => Buffer.concat(chunks).toString('utf8') }
}
