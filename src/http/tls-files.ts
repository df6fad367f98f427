// The certificate of the control surfaces (REST and gRPC), read again when its files change: a renewal needs no restart. Files that
// have gone bad are a problem, and the last good certificate stays.
import { readFile } from 'node:fs/promises'
import { signal, type ReadonlySignal } from '@preact/signals-core'
import type { Component } from '../core/component.ts'
import { type Clock, systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createStatus } from '../core/status-signal.ts'
import { describeHttpProblem } from './problems.ts'

/** PEM. */
export type TlsMaterial = { cert: Buffer; key: Buffer }

export interface TlsFiles extends Component {
  /** undefined: none has been good yet, and no connection can be made. */
  readonly material: ReadonlySignal<TlsMaterial | undefined>
}

export type TlsFilesOptions = {
  cert: string
  key: string
  log: Log
  clock?: Clock
  /** ms between two looks */ every?: number
}

export function startTlsFiles({ cert, key, log, clock = systemClock, every = 5000 }: TlsFilesOptions): TlsFiles {
  const status = createStatus('reading the certificate', clock)
  const material = signal<TlsMaterial | undefined>(undefined)
  const ending = new AbortController()
  const state: { told?: string } = {}
  const look = async () => {
    try {
      const found = { cert: await readFile(cert), key: await readFile(key) }
      const now = material.peek()
      const isSame = now?.cert.equals(found.cert) && now.key.equals(found.key)
      if (!isSame) {
        await check(found, clock)
        material.value = found
        log.info(`certificate read from ${cert}`)
      }
      delete state.told
      status.set('ok', `certificate of ${cert}`)
    } catch (error) {
      const why = messageOf(error)
      const stays = material.peek() ? 'the last good certificate stays' : 'no connection can be made'
      status.set('degraded', `${stays}: the certificate files are bad`, describeHttpProblem('tls-files', why))
      if (state.told !== why) log.warn(`certificate is not used: ${why}`)
      state.told = why
    }
  }
  const looking = startLoop('certificate', look, { log, abort: ending.signal, every, clock })
  return {
    name: 'certificate',
    status: status.signal,
    material,
    async end() {
      ending.abort()
      await looking.ended
    },
  }
}

/** @throws what is wrong with them: no PEM, or a key of another certificate */
async function check({ cert, key }: TlsMaterial, clock: Clock): Promise<void> {
  const { createSecureContext } = await import('node:tls')
  createSecureContext({ cert, key })
  const { createPrivateKey, X509Certificate } = await import('node:crypto')
  const leaf = new X509Certificate(cert)
  if (!leaf.checkPrivateKey(createPrivateKey(key))) throw new Error('the key is not that of the certificate')
  if (new Date(leaf.validTo).getTime() < clock.wall()) throw new Error(`the certificate ended at ${leaf.validTo}`)
}
