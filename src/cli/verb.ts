// What a verb is. Each lives in a file of its own and is loaded when it is asked for.
import type { ParseArgsOptionsConfig } from 'node:util'

export type Invocation = {
  positionals: string[]
  flags: Record<string, string | boolean | string[] | undefined>
  out: Output
}

export interface Output {
  /** To stdout, as it is. */
  write(text: string): void
  /** To stderr, one line. */
  complain(text: string): void
  /** Colours only on a terminal, and not with NO_COLOR. */
  readonly colours: boolean
  /** Columns of the terminal, 100 where there is none. */
  readonly columns: number
}

export type Verb = {
  /** After `gonka-node NAME`. */
  usage: string
  /** One line for the list of verbs. */
  summary: string
  /** More text for `gonka-node NAME --help`. */
  help?: string
  options: ParseArgsOptionsConfig
  /** What its first word may be, for the completion. */
  words?: readonly string[]
  /** At most so many words besides the flags. */
  positionals: number
  /** @returns the exit status. @throws UsageError, Refusal */
  run(call: Invocation): Promise<number>
}

/** The command line is wrong: printed with the verb's usage, exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Exit statuses, sysexits.h where it has one. */
export const exits = {
  ok: 0,
  unhealthy: 1,
  usage: 2,
  unavailable: 69,
  software: 70,
  busy: 75,
  configuration: 78,
  interrupted: 130,
} as const

/** For help and README. */
export const exitMeanings: Record<keyof typeof exits, string> = {
  ok: 'fine; for `status` also: starting',
  unhealthy: 'something is degraded or failed, or the daemon refused: what and why is printed',
  usage: 'the command line is wrong',
  unavailable: 'no daemon answers on the socket',
  software: 'a bug, with its stack',
  busy: 'another daemon has the state folder',
  configuration: 'the configuration is wrong (`run`: and there never was a good one)',
  interrupted: 'Ctrl-C while `launch --wait` waited: the launch goes on',
}
