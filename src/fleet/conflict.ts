// Two API nodes that order different models in turn would reload for ever: after some turns the current one stays (D5).

/** An accepted change of what is wanted. `at` is monotonic ms. */
export type Turn = { at: number; to: 'current' | 'next' | 'other' }

export const conflictRule = { turns: 3, window: 1_800_000 }

/** Whether giving way to `next` would be the third turn between it and `current` within 30 minutes. */
export function judgeConflict(turns: readonly Turn[], now: number): boolean {
  const recent = turns.filter((one) => one.at > now - conflictRule.window)
  const between = recent.filter((one) => one.to !== 'other')
  return between.length + 1 >= conflictRule.turns && recent.some((one) => one.to === 'next')
}
