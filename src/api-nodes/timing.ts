// When an API node is asked again. Windows, not fixed waits: 200 nodes that lost it at the same moment come back spread out.

export type Timing = {
  /** Between two looks at a record that is right, ms, ±20 %. */
  verifyEvery: number
  /** The next look when the API node sees us as failed: one status poll of the broker (60 s) later. */
  recheckFailed: number
  /** After a final refusal: governance changes, so it is asked again, slowly. */
  refusedFrom: number
  refusedTo: number
  /** First window of a retry; each further failure doubles it. 200 nodes × 3 requests of 100 ms in 8 s are 8 at once, 16 at worst. */
  retryWindow: number
  /** 3 min: with a list timeout of 5 s, 200 nodes hold about 10 requests open at an API node that hangs. */
  retryCap: number
  /** A record of ours is looked at again within this time after its tunnel came back: all tunnels of a server come back together. */
  tunnelSpread: number
  /** Between a POST that changed nothing and the next. */
  secondPost: number
  listTimeout: number
  /** Creating a record asks the chain; longer than a list. */
  postTimeout: number
  /** Of GET poc_init, as the start script had it. */
  pocInitTimeout: number
}

export const defaultTiming: Timing = {
  verifyEvery: 300_000,
  recheckFailed: 70_000,
  refusedFrom: 600_000,
  refusedTo: 1_800_000,
  retryWindow: 8_000,
  retryCap: 180_000,
  tunnelSpread: 5_000,
  secondPost: 1_000,
  listTimeout: 5_000,
  postTimeout: 15_000,
  pocInitTimeout: 30_000,
}

/** ms to wait after `failures` (from 1) transient failures in a row: anywhere in a window that doubles. Pure; random is 0..1. */
export function judgeRetry(timing: Timing, failures: number, random: number): number {
  const window = Math.min(timing.retryCap, timing.retryWindow * 2 ** (failures - 1))
  return Math.round(window * (0.1 + 0.9 * random))
}

/** Anywhere in from..to. */
export function spread(from: number, to: number, random: number): number {
  return Math.round(from + (to - from) * random)
}
