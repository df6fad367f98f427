// Who we are (D12). The instance id comes from IMDSv2, else the machine id. Another instance id than the stored one voids the
// stored state: an image or a volume was copied, and its engines, orders and tunnels are not ours.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readJson, writeJson } from '../core/json-file.ts'
import { readBootId } from '../core/proc.ts'
import type { Metadata } from './metadata.ts'

const storedIdentity = z.object({
  instanceId: z.string().optional(),
  machineId: z.string().optional(),
  instanceType: z.string().optional(),
  availabilityZone: z.string().optional(),
  region: z.string().optional(),
  /** Of the run of the machine that saw these facts. */
  bootId: z.string().optional(),
})

/** What is known of a machine; every field may be absent. */
export type MachineFacts = z.output<typeof storedIdentity>

export type Identity = MachineFacts & {
  /** Instance id, else machine id, else `unknown`. */
  id: string
  source: 'imds' | 'machine-id' | 'unknown'
  /** The stored state is another machine's: put it aside (voidState) before anything reads it. */
  changed: boolean
  /** Id in the stored state, where it is another's. */
  previous?: string
  /** The same instance came back as another type: GPUs may be fewer. */
  previousType?: string
}

const fileName = 'identity.json'

/**
 * A machine does not become another one while it runs: after a restart of the daemon the stored facts are taken without asking.
 * Writes nothing: `writeIdentity` does, after the state was voided, so that a crash in between voids again. Never rejects.
 */
export async function readIdentity(deps: {
  stateDir: string
  metadata: Metadata
  machineIdPath?: string
  bootId?: string
}): Promise<Identity> {
  const bootId = deps.bootId ?? readBootId()
  const found = await readJson(join(deps.stateDir, fileName), storedIdentity)
  const stored = found.kind === 'value' ? found.value : undefined
  if (stored?.bootId === bootId && bootId !== 'unknown') return judgeIdentity(stored, stored)
  const observed = await observeMachine(deps.metadata, deps.machineIdPath ?? '/etc/machine-id')
  return judgeIdentity(stored, { ...observed, bootId })
}

/** @throws what the file system says */
export async function writeIdentity(stateDir: string, identity: Identity): Promise<void> {
  await writeJson(join(stateDir, fileName), storedIdentity.parse(identity))
}

/**
 * Pure. A metadata service that is away for once must not void anything: then the machine ids decide, and the stored
 * instance id stays.
 */
export function judgeIdentity(stored: MachineFacts | undefined, observed: MachineFacts): Identity {
  const changed = stored !== undefined && isOther(stored, observed)
  const facts: MachineFacts = changed || !stored ? observed : { ...stored, ...observed }
  const id = facts.instanceId ?? facts.machineId ?? 'unknown'
  const source = facts.instanceId ? 'imds' : facts.machineId ? 'machine-id' : 'unknown'
  const oldType = changed ? undefined : stored?.instanceType
  return {
    ...facts,
    id,
    source,
    changed,
    ...(changed && { previous: stored.instanceId ?? stored.machineId ?? 'unknown' }),
    ...(oldType !== undefined &&
      observed.instanceType !== undefined &&
      oldType !== observed.instanceType && { previousType: oldType }),
  }
}

function isOther(stored: MachineFacts, observed: MachineFacts): boolean {
  if (stored.instanceId && observed.instanceId) return stored.instanceId !== observed.instanceId
  return Boolean(stored.machineId && observed.machineId && stored.machineId !== observed.machineId)
}

async function observeMachine(metadata: Metadata, machineIdPath: string): Promise<MachineFacts> {
  const machineId = await readFile(machineIdPath, 'utf8').then(
    (text) => text.trim(),
    () => '',
  )
  const local = machineId && machineId !== 'uninitialized' ? { machineId } : {}
  const first = await metadata.get('meta-data/instance-id')
  // Not an instance id, not believed: a captive portal or a proxy answers anything with 200.
  if (first.kind !== 'value' || !/^m?i-[0-9a-zA-Z-]{1,40}$/.test(first.text)) return local
  const item = async (path: string): Promise<string | undefined> => {
    const answer = await metadata.get(`meta-data/${path}`)
    return answer.kind === 'value' && answer.text.length < 100 ? answer.text : undefined
  }
  const [instanceType, availabilityZone, region] = await Promise.all(
    ['instance-type', 'placement/availability-zone', 'placement/region'].map(item),
  )
  return {
    ...local,
    instanceId: first.text,
    ...(instanceType && { instanceType }),
    ...(availabilityZone && { availabilityZone }),
    ...(region && { region }),
  }
}
