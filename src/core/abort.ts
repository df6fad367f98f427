// The only file that listens to 'abort': a listener added to an already aborted signal never fires and would hang a race.

/** Resolves when `signal` aborts (at once if it already has); forgotten, and never resolved, once `side` aborts first. */
export function whenAborted(signal: AbortSignal, side?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const fire = () => resolve()
    signal.addEventListener('abort', fire, { once: true })
    if (side) onAbort(side, () => signal.removeEventListener('abort', fire))
  })
}

/** Calls `then` once when `signal` aborts, at once if it already has. Returns a function that forgets it. */
export function onAbort(signal: AbortSignal, then: () => void): () => void {
  if (signal.aborted) {
    then()
    return () => {}
  }
  signal.addEventListener('abort', then, { once: true })
  return () => signal.removeEventListener('abort', then)
}

/** An abort is a way to end, not a failure: loops and edges ask this before they log. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError')
}

/** A signal that aborts with the first of its causes, or after `ms`. */
export function within(ms: number, ...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(ms), ...signals.filter((one) => one !== undefined)])
}

/**
 * As `within`, for what nearly always ends in time: disposed of, it leaves no timer behind that would wake the process later, and no
 * listener on `signals`.
 */
export function bounded(
  ms: number,
  ...signals: (AbortSignal | undefined)[]
): Disposable & { readonly signal: AbortSignal } {
  const over = new AbortController()
  const late = setTimeout(() => over.abort(new DOMException(`not done within ${ms} ms`, 'TimeoutError')), ms).unref()
  const forgets = signals.map((one) => one && onAbort(one, () => over.abort(one.reason)))
  return {
    signal: over.signal,
    [Symbol.dispose]() {
      clearTimeout(late)
      for (const forget of forgets) forget?.()
    },
  }
}
