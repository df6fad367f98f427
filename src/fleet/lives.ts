// The engines as the fleet uses them: started, or adopted from the daemon before. A seam: tests of the loop bring their own.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import {
  adoptEngines,
  type DeadEngine,
  type EngineDeps,
  type EngineLife,
  type EngineSpec,
  startEngine,
} from '../engine/life.ts'

export type { DeadEngine, EngineLife, EngineSpec }

export interface Lives {
  /** Returns at once; slowness and failure are phases of the life. */
  start(spec: EngineSpec): EngineLife
  /** Every engine of an earlier daemon that lives, loading ones included. */
  adopt(): Promise<readonly EngineLife[]>
  /** Why the life that was started last could not be kept in the state folder. */
  readonly trouble: ReadonlySignal<string | undefined>
  /** What `adopt` found dead, by the id of the life. */
  readonly dead: ReadonlyMap<string, DeadEngine>
}

export function createLives(deps: Omit<EngineDeps, 'onTrouble' | 'onDead'>): Lives {
  const trouble = signal<string | undefined>(undefined)
  const dead = new Map<string, DeadEngine>()
  const own: EngineDeps = {
    ...deps,
    onTrouble: (why) => void (trouble.value = why),
    onDead: (id, one) => void dead.set(id, one),
  }
  return { start: (spec) => startEngine(spec, own), adopt: () => adoptEngines(own.livesFolder, own), trouble, dead }
}
