// The round on disk, so that a restarted daemon goes on with it. Writes follow each other; the last one is what stays.
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { readJson, removeFile, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'
import { type Round, roundSchema } from './round.ts'

export interface RoundStore {
  /** Undefined where there is none, or one of another boot. */
  read(): Promise<Round | undefined>
  /** Returns at once. */
  save(round: Round | undefined): void
  /** What the last write failed with. */
  readonly failure: string | undefined
  /** Resolves when everything saved so far is on disk, or has failed. */
  flushed(): Promise<void>
}

export function createRoundStore(options: { stateDir: string; bootId: string; log: Log }): RoundStore {
  const path = join(options.stateDir, 'poc-round.json')
  let last: Promise<void> = Promise.resolve()
  let failure: string | undefined

  async function write(round: Round | undefined): Promise<void> {
    try {
      await (round ? writeJson(path, round) : removeFile(path))
      failure = undefined
    } catch (error) {
      failure = `${path}: ${messageOf(error)}`
      options.log.error({ err: error, path }, 'PoC round not written')
    }
  }
  return {
    async read() {
      const found = await readJson(path, roundSchema)
      if (found.kind === 'bad')
        options.log.warn({ path, why: found.why }, 'PoC round on disk is unreadable and ignored')
      return found.kind === 'value' && found.value.bootId === options.bootId ? found.value : undefined
    },
    save(round) {
      last = last.then(() => write(round))
    },
    get failure() {
      return failure
    },
    flushed: () => last,
  }
}
