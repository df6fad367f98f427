// The engines as the fleet uses them: started, or adopted from the daemon before. A seam: tests of the loop bring their own.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { adoptEngines, type EngineDeps, type EngineLife, type EngineSpec, startEngine } from '../engine/life.ts'

export type { EngineLife, EngineSpec }

export interface Lives {
  /** Returns at once; slowness and failure are phases of the life. */
  start(spec: EngineSpec): EngineLife
  /** Every engine of an earlier daemon that lives, loading ones included. */
  adopt(): Promise<readonly EngineLife[]>
  /** Why the life that was started last could not be kept in the state folder. */
  readonly trouble: ReadonlySignal<string | undefined>
}

export function createLives(deps: Omit<EngineDeps, 'onTrouble'>): Lives {
  const trouble = signal<string | undefined>(undefined)
  const own = { ...deps, onTrouble: (why: string | undefined) => void (trouble.value = why) }
  return { start: (spec) => startEngine(spec, own), adopt: () => adoptEngines(own.livesFolder, own), trouble }
}
