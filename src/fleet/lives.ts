// The engines as the fleet uses them: started, or adopted from the daemon before. A seam: tests of the loop bring their own.
import { adoptEngines, type EngineDeps, type EngineLife, type EngineSpec, startEngine } from '../engine/life.ts'

export type { EngineLife, EngineSpec }

export interface Lives {
  /** Returns at once; slowness and failure are phases of the life. */
  start(spec: EngineSpec): EngineLife
  /** Every engine of an earlier daemon that lives, loading ones included. */
  adopt(): Promise<readonly EngineLife[]>
}

export function createLives(deps: EngineDeps): Lives {
  return { start: (spec) => startEngine(spec, deps), adopt: () => adoptEngines(deps.livesFolder, deps) }
}
