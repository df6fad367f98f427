// One look at an API node: what we would send now, what it lists, and in what the two differ.
import type { RegistrationBody } from '../config/registration-json.ts'
import type { RegistrationConfig } from '../config/registration.ts'
import type { Clock } from '../core/clock.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { HostPort } from '../core/host-port.ts'
import type { AdminClient } from './admin-client.ts'
import { judgeAnswer, type Verdict } from './classify.ts'
import { judgeDifferences, type Listed, pickListed } from './compare.ts'
import type { Hardware } from './hardware.ts'
import { readOwnAddress } from './own-address.ts'
import { needsOwnAddress, type RecordFacts, renderRecord } from './record.ts'
import { type Remembered, toDigest } from './remembered.ts'
import type { Timing } from './timing.ts'

export type LookDeps = {
  apiNode: HostPort
  client: AdminClient
  config: RegistrationConfig
  facts: RecordFacts
  hardware: () => Hardware[] | undefined
  remembered: Remembered
  clock: Clock
  timing: Timing
}

/** `differences` is empty when nothing is to be sent; `at` is monotonic. */
export type Looked = { body: RegistrationBody; listed: Listed | undefined; differences: string[]; at: number }
export type Trouble = Exclude<Verdict, { kind: 'ok' }>

/** Never throws. What an old id left behind is forgotten here once it is gone from the list. */
export async function look(deps: LookDeps, id: string, abort: AbortSignal): Promise<Looked | Trouble> {
  const { client, config, timing, clock } = deps
  const asked = `GET ${config.endpoint} at ${client.address}`
  const answer = await client.send({ method: 'GET', path: config.endpoint, timeoutMs: timing.listTimeout }, abort)
  const verdict = judgeAnswer(answer, asked)
  if (verdict.kind !== 'ok') return verdict
  if (!Array.isArray(verdict.json))
    return { kind: 'transient', code: 'api-node-garbage', evidence: `${asked} answered no list` }
  const listed = pickListed(verdict.json, id)
  forgetGone(deps, id, verdict.json)
  return compareNow(deps, id, { listed, at: clock.now() })
}

/** What we would send now against what was listed `at` some time: arguments and hardware may have become known since. */
export async function compareNow(
  deps: LookDeps,
  id: string,
  { listed, at }: Pick<Looked, 'listed' | 'at'>,
): Promise<Looked | Trouble> {
  const rendered = await render(deps)
  if ('code' in rendered) return rendered
  const { body } = rendered
  const differences = [...judgeDifferences(body, listed?.node), ...judgeToken(deps, id, body)]
  return { body, listed, differences, at }
}

async function render({
  apiNode,
  client,
  config,
  facts,
  hardware,
}: LookDeps): Promise<{ body: RegistrationBody } | Trouble> {
  try {
    const ownAddress = needsOwnAddress(config, facts) ? await readOwnAddress(apiNode) : ''
    const body = renderRecord(config, facts, { ownAddress, hardware: hardware() })
    return body ? { body } : { kind: 'final', code: 'model-not-set', evidence: 'MODEL_NAME is not set' }
  } catch (error) {
    const evidence = `towards ${client.address}: ${messageOf(error)}`
    // A name that does not resolve is no question of our own address.
    const isName = ['ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT'].includes(codeOf(error) ?? '')
    return { kind: 'transient', code: isName ? 'api-node-unreachable' : 'own-address-unknown', evidence }
  }
}

/** A token cannot be read back, so it counts as different when it is not the one that we sent last. */
function judgeToken({ remembered, client }: LookDeps, id: string, body: RegistrationBody): string[] {
  const known = remembered.find(client.address, id)
  return known && known.tokenDigest !== toDigest(body.auth_token) ? ['auth_token: changed here'] : []
}

function forgetGone({ remembered, client }: LookDeps, own: string, list: readonly unknown[]): void {
  for (const { apiNode, id } of remembered.records.peek())
    if (apiNode === client.address && id !== own && !pickListed(list, id)) remembered.forget(apiNode, id)
}
