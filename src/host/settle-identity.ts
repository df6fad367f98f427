// Who we are, settled before anything reads the stored state: another machine's state is put aside first.
import { signal } from '@preact/signals-core'
import type { Status } from '../api/status.ts'
import type { Component } from '../core/component.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { type Identity, readIdentity, writeIdentity } from './identity.ts'
import type { Metadata } from './metadata.ts'
import { toHostProblem } from './problems.ts'
import { voidState } from './void-state.ts'

/** Never rejects: a state folder that cannot be written is a status. */
export async function settleIdentity(deps: {
  stateDir: string
  /** Known already: why the state is not where it should be. */
  trouble?: string | undefined
  metadata: Metadata
  log: Log
}): Promise<{ identity: Identity; part: Component }> {
  const identity = await readIdentity(deps)
  const trouble = await settle(identity, deps).catch((error: unknown) => {
    deps.log.error({ err: error }, 'the state folder cannot be written')
    return messageOf(error)
  })
  return {
    identity,
    part: { name: 'identity', status: signal(describe(identity, deps.trouble ?? trouble)), end: async () => {} },
  }
}

async function settle(identity: Identity, { stateDir, log }: { stateDir: string; log: Log }): Promise<undefined> {
  if (identity.changed) {
    const names = await voidState(stateDir)
    log.warn(
      { previous: identity.previous, now: identity.id, aside: names },
      'stored state of another instance put aside',
    )
  }
  await writeIdentity(stateDir, identity)
}

function describe(identity: Identity, trouble: string | undefined): Status {
  const since = new Date()
  const where = [identity.instanceType, identity.availabilityZone].filter(Boolean).join(', ')
  const summary = `${identity.id}${where ? ` (${where})` : ''}`
  if (trouble !== undefined)
    return { health: 'degraded', summary, since, problem: toHostProblem('state-unwritable', trouble) }
  if (!identity.changed) return { health: 'ok', summary, since }
  return {
    health: 'degraded',
    summary,
    since,
    problem: toHostProblem('identity-changed', `state of ${identity.previous}, now ${identity.id}`),
  }
}
