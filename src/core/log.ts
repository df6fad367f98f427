// JSON lines on stdout (journald keeps them), written synchronously so that the last words before a crash arrive.
// Each finished line passes the redactor: a secret in an error message or a stack does not get out.
import { pino } from 'pino'
import { createSecrets, type Secrets } from './secrets.ts'

/** The part of pino that we use: `log.info({ fields }, 'lower case message')`; `log.child({ part: 'fleet' })`. */
export type Log = {
  child(fields: Record<string, unknown>): Log
} & Record<'debug' | 'info' | 'warn' | 'error' | 'fatal', (first: object | string, message?: string) => void>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type LogOptions = {
  level: LogLevel
  secrets: Secrets
  write?: (line: string) => void
  /** stdout is journald's: each line begins with its priority, so that `journalctl -p warning` finds it. */
  journal?: boolean
}

/** sd-daemon(3) */
const priorities: Readonly<Record<string, number>> = { debug: 7, info: 6, warn: 4, error: 3, fatal: 2 }

export function createLog(options: LogOptions): Log {
  const write = options.write ?? openStdout()
  const prefix = (line: string) => `<${priorities[/^{"level":"(\w+)"/.exec(line)?.[1] ?? 'info']}>`
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (line: string) => write(`${options.journal ? prefix(line) : ''}${options.secrets.redact(line)}`),
    },
  ) as unknown as Log
}

/** For parts and tests that have nothing to say. */
export const silentLog: Log = createLog({ level: 'silent', secrets: createSecrets(), write: () => {} })

/** A full disk, or a reader that went away, costs lines and never the daemon; later lines are tried again. */
function openStdout(): (line: string) => void {
  const { stdout } = process
  if (!stdout.listeners('error').includes(forgive)) stdout.on('error', forgive)
  return (line) => void stdout.write(line)
}

const forgive = (): void => {}
