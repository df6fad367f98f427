// Who may use the control surfaces (REST and gRPC): the keys, read again while we run, and a bound on guessing per address.
import type { Component } from '../core/component.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import type { Secrets } from '../core/secrets.ts'
import { createStatus } from '../core/status-signal.ts'
import { hasLongKey, holdsKey, type KeyDigests, toKeyDigests } from './access-key.ts'
import { createAttempts } from './attempts.ts'
import { readKeyFile } from './keys.ts'
import { describeHttpProblem } from './problems.ts'

export type Verdict = 'ok' | 'unauthorized' | 'limited'

export interface AccessJudge {
  /**
   * @param authorization the header, or the metadata of that name
   * @param address of the peer, without port
   */
  judge(authorization: string | undefined, address: string): Verdict
  /** s until `limited` ends for this address. */
  waitFor(address: string): number
}

export interface Access extends Component, AccessJudge {
  /** No key is configured. */
  readonly isOpen: boolean
}

export type AccessOptions = {
  accessKey: string | undefined
  accessKeyFile: string | undefined
  log: Log
  secrets?: Pick<Secrets, 'add'>
  clock?: Clock
  /** ms between two looks at the key file. */
  every?: number
}

/** Neither key nor file: open to everybody who can reach it. A file that was never readable lets nobody in. */
export function startAccess(options: AccessOptions): Access {
  const { accessKey, accessKeyFile, log, secrets, clock = systemClock, every = 2000 } = options
  const own = accessKey?.trim() ? [accessKey.trim()] : []
  const isOpen = own.length === 0 && accessKeyFile === undefined
  const status = createStatus('reading the access keys', clock)
  const attempts = createAttempts(clock)
  const ending = new AbortController()
  const state: { digests: KeyDigests; print?: string } = { digests: toKeyDigests(own) }
  const use = (more: readonly string[]) => {
    for (const key of more) secrets?.add(key)
    const keys = [...new Set([...own, ...more])]
    state.digests = toKeyDigests(keys)
    status.set('ok', `${keys.length} access ${keys.length === 1 ? 'key' : 'keys'}`)
  }
  const look = async (path: string) => {
    const found = await readKeyFile(path)
    if (found.print === state.print) return
    const first = state.print === undefined
    state.print = found.print
    if (found.kind === 'keys') {
      use(found.keys)
      if (!first) log.info({ keys: found.keys.length }, 'access keys read again')
      return
    }
    log.warn(`access key file is not used: ${found.why}`)
    const stays = state.digests.length > 0 ? 'the keys of before stay' : 'nobody is let in'
    status.set('degraded', `${stays}: the access key file is bad`, describeHttpProblem('access-key-file', found.why))
  }
  if (accessKeyFile === undefined) status.set('ok', isOpen ? 'no access key' : '1 access key')
  const looking =
    accessKeyFile === undefined
      ? undefined
      : startLoop('access keys', () => look(accessKeyFile), { log, abort: ending.signal, every, clock })
  return {
    name: 'access',
    status: status.signal,
    isOpen,
    judge(authorization, address) {
      if (isOpen) return 'ok'
      // Without a key nothing was guessed: browsers ask so first, to be challenged.
      if (!authorization?.trim()) return 'unauthorized'
      const isRight = holdsKey(state.digests, authorization)
      const isLimited = attempts.waitFor(address) > 0
      // Behind a proxy everybody has its address: others' guesses must not lock out whose key cannot be guessed. With a short key a
      // limited guesser does not learn that it was right: whoever is let in from there all the same tells it.
      if (isRight && (!isLimited || hasLongKey(authorization))) return 'ok'
      if (isLimited) return 'limited'
      attempts.note(address, authorization)
      if (attempts.waitFor(address) > 0) log.warn({ address }, 'too many wrong access keys from one address')
      return 'unauthorized'
    },
    waitFor: (address) => attempts.waitFor(address),
    async end() {
      ending.abort()
      await looking?.ended
    },
  }
}
