// Waits for a condition instead of sleeping.

/** Asks every `every` ms until `probe` returns something truthy and returns it; fails with `what` after `ms`. */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  ms = 15_000,
  every = 10,
): Promise<NonNullable<T>> {
  const end = performance.now() + ms
  let last: unknown
  for (;;) {
    try {
      const found = await probe()
      if (found) return found
      last = found
    } catch (error) {
      last = error
    }
    if (performance.now() > end) throw new Error(`waited ${ms} ms for: ${what}`, { cause: last })
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}
