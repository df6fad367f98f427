// The callback addresses behind the relay's tokens. On disk, since engines that know a token outlive the daemon.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { readJson, writeJson } from '../core/json-file.ts'
import type { Log } from '../core/log.ts'

export interface CallbackTargets {
  /** What is on disk has been read. */
  readonly ready: Promise<void>
  /** 32 hex digits that nobody guesses; the same for the same address. Await `ready` first. */
  tokenOf(url: string): string
  urlOf(token: string | undefined): string | undefined
  flushed(): Promise<void>
}

/** Callback addresses change with the model and the API node: more than these are no longer in use. */
const most = 64
const schema = z.array(z.object({ token: z.string(), url: z.string() }))

export function openTargets({ stateDir, log }: { stateDir: string; log: Log }): CallbackTargets {
  const path = join(stateDir, 'poc-callbacks.json')
  let targets: z.output<typeof schema> = []
  let lastWrite: Promise<void> = Promise.resolve()

  const ready = readJson(path, schema).then((found) => {
    if (found.kind === 'value') targets = found.value
    if (found.kind === 'bad')
      log.warn({ path, why: found.why }, 'callback addresses on disk are unreadable and ignored')
  })

  return {
    ready,
    urlOf: (token) => targets.find((one) => one.token === token)?.url,
    tokenOf(url) {
      const known = targets.find((one) => one.url === url)
      if (known) return known.token
      const made = { token: randomBytes(16).toString('hex'), url }
      targets = [...targets, made].slice(-most)
      lastWrite = lastWrite
        .then(() => writeJson(path, targets))
        .catch((error: unknown) => log.error({ err: error, path }, 'callback addresses not written'))
      return made.token
    },
    flushed: () => lastWrite,
  }
}
