// JSON lines on stdout (journald keeps them), written synchronously so that the last words before a crash arrive.
// Each finished line passes the redactor: a secret in an error message or a stack does not get out.
import { pino } from 'pino'
import { createSecrets, type Secrets } from './secrets.ts'

/** The part of pino that we use: `log.info({ fields }, 'lower case message')`; `log.child({ part: 'fleet' })`. */
export type Log = {
  child(fields: Record<string, unknown>): Log
} & Record<'debug' | 'info' | 'warn' | 'error' | 'fatal', (first: object | string, message?: string) => void>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export function createLog(options: { level: LogLevel; secrets: Secrets; write?: (line: string) => void }): Log {
  const write = options.write ?? writeStdout
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (line: string) => write(options.secrets.redact(line)),
    },
  ) as unknown as Log
}

/** For parts and tests that have nothing to say. */
export const silentLog: Log = createLog({ level: 'silent', secrets: createSecrets(), write: () => {} })

function writeStdout(line: string): void {
  process.stdout.write(line)
}
