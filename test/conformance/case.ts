// What a case is, and how all of them are run one after the other.
import type { Target } from './target.ts'

export type Case = {
  /** A sentence about behaviour. */
  title: string
  /** The part of the contract; `defect N`: one of the nine of the old service; `ours`: nobody else promises it. */
  of: string
  /** Why it cannot be run against this target. */
  lacks?: (target: Target) => string | undefined
  /** Uses launches that other cases use, too: run after those that want the GPUs for themselves. Those of A1.8 do unless told. */
  shares?: boolean
  run: (target: Target) => Promise<void>
}

export const needsGrpc = ({ grpc }: Target) => (grpc === undefined ? 'no --grpc address' : undefined)
export const needsKey = ({ key }: Target) => (key === undefined ? 'no --key' : undefined)
export const needsBoth = (target: Target) => needsGrpc(target) ?? needsKey(target)
export const needsVariable =
  (name: string) =>
  ({ environment }: Target) =>
    environment?.[name] === undefined ? `no --env ${name}=…` : undefined

export type Outcome = { of: string; title: string; result: 'passed' | 'failed' | 'skipped'; why?: string; ms: number }

export async function runCase(one: Case, target: Target): Promise<Outcome> {
  const { of, title } = one
  const began = performance.now()
  const end = (result: Outcome['result'], why?: string): Outcome => {
    return { of, title, result, ...(why !== undefined && { why }), ms: Math.round(performance.now() - began) }
  }
  const lacking = one.lacks?.(target)
  if (lacking !== undefined) return end('skipped', lacking)
  try {
    await one.run(target)
    return end('passed')
  } catch (error) {
    // What it left running would fail the next ones.
    await target.clear()
    return end('failed', error instanceof Error ? error.message : String(error))
  }
}
