// One wish per owner: what that owner wants to run. The broker's overlays the configuration's, nobody else's (D5, D12).
import { z } from 'zod'

export const ownerSchema = z.union([
  z.enum(['configuration', 'broker', 'operator']),
  z.templateLiteral(['launch:', z.string().min(1)]),
])
export type Owner = z.output<typeof ownerSchema>

/** What an engine is asked to be. Absent dtype and args come from the configuration. */
export const askSchema = z.object({
  model: z.string().min(1),
  dtype: z.string().optional(),
  args: z.array(z.string()).readonly().optional(),
})
export type Ask = z.output<typeof askSchema>

/** stop: end what the overlaid wish would run; `at` is wall time, ms, so that the grace goes on in the next daemon. */
export const wishSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('run'), ask: askSchema, at: z.number(), bootId: z.string() }),
  z.object({
    kind: z.literal('stop'),
    at: z.number(),
    bootId: z.string(),
    /** The order that was stopped; absent where it was the configuration's wish. */
    over: askSchema.optional(),
  }),
])
export type Wish = z.output<typeof wishSchema>

export type Wishes = Partial<Record<Owner, Wish>>

/** What the node itself should do: the configuration's wish, overlaid by the broker's; what the operator stopped stays stopped. */
export type Effective =
  | { kind: 'nothing' }
  | { kind: 'run'; ask: Ask; owner: 'configuration' | 'broker' }
  | { kind: 'stopped'; at: number; by: 'broker' | 'operator' }

export function judgeEffective(wishes: Wishes): Effective {
  const { broker, configuration, operator } = wishes
  if (operator?.kind === 'stop') return { kind: 'stopped', at: operator.at, by: 'operator' }
  if (broker?.kind === 'stop') return { kind: 'stopped', at: broker.at, by: 'broker' }
  if (broker?.kind === 'run') return { kind: 'run', ask: broker.ask, owner: 'broker' }
  if (configuration?.kind === 'run') return { kind: 'run', ask: configuration.ask, owner: 'configuration' }
  return { kind: 'nothing' }
}

/** Engines of the configuration and of the broker are one group, each launch is its own. */
export function toGroup(owner: string): string {
  return owner === 'configuration' || owner === 'broker' ? 'node' : owner
}

export const plannedSchema = z.object({
  model: z.string(),
  instances: z.int().nonnegative(),
  gpusPerEngine: z.int().nonnegative(),
  hasPoc: z.boolean(),
  owner: z.enum(['configuration', 'broker']),
})

export const storedSchema = z.object({
  version: z.literal(1),
  instanceId: z.string().optional(),
  /** Of the boot that wrote it. */
  bootId: z.string(),
  /** MODEL_NAME when it was written; another one voids the broker's order. */
  modelName: z.string().optional(),
  wishes: z.partialRecord(ownerSchema, wishSchema),
  /** k of D7 as it was fixed last, and how many GPUs there were then. */
  planned: plannedSchema.optional(),
  gpuCount: z.int().nonnegative().optional(),
})
export type Stored = z.output<typeof storedSchema>

/** What of the stored state still holds for this machine, boot and configuration. */
export function pickValid(
  stored: Stored,
  now: { instanceId: string | undefined; bootId: string; modelName: string | undefined },
): Pick<Stored, 'wishes' | 'planned' | 'gpuCount'> {
  if (stored.instanceId !== undefined && now.instanceId !== undefined && stored.instanceId !== now.instanceId)
    return { wishes: {} }
  const { configuration: _, broker, operator, ...others } = stored.wishes
  const holds = broker?.bootId === now.bootId && stored.modelName === now.modelName
  return {
    wishes: {
      ...others,
      ...(broker && holds && { broker }),
      ...(operator?.bootId === now.bootId && { operator }),
    },
    ...(stored.planned && { planned: stored.planned }),
    ...(stored.gpuCount !== undefined && { gpuCount: stored.gpuCount }),
  }
}

/** What runs, or would run if it had not been stopped. */
export function pickCurrent({ broker, configuration }: Wishes): Ask | undefined {
  if (broker?.kind === 'run') return broker.ask
  if (broker?.kind === 'stop' && broker.over) return broker.over
  return configuration?.kind === 'run' ? configuration.ask : undefined
}
