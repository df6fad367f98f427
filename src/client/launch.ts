// One launch, as the one who asked for it holds it. Every wait has an end: a timeout, or the signal of the caller.
import { setTimeout as wait } from 'node:timers/promises'
import { type LaunchResponse, isTerminal, launchResponse, logsResponse } from '../api/launches.ts'
import { LaunchEndedError, RequestError, UnreachableError, WaitTimeoutError } from './errors.ts'
import { type EventsOptions, type LaunchEvent, followEvents } from './events.ts'
import { type Generation, createGeneration } from './generation.ts'
import type { Inference } from './inference.ts'
import type { Rest } from './rest.ts'

export type WaitOptions = { /** ms */ timeout?: number | undefined; signal?: AbortSignal | undefined }

export interface Launch extends Generation {
  readonly id: string
  /** Of an OpenAI client that is to talk to this launch. */
  readonly openaiUrl: string
  /** As it was when it was last asked for. */
  readonly snapshot: LaunchResponse
  /** Asks for it. */
  status(): Promise<LaunchResponse>
  /**
   * Until it serves; outages of the service are waited out.
   * @param options `timeout` 600,000 ms where not said; `onChange` hears of each state and progress
   * @throws LaunchEndedError when it fails or is stopped, WaitTimeoutError
   */
  untilReady(options?: WaitOptions & { onChange?: (now: LaunchResponse) => void }): Promise<LaunchResponse>
  /** The engine's log from byte `offset` on; with `follow` until the launch has ended. */
  logs(options?: { offset?: number; follow?: boolean; signal?: AbortSignal }): AsyncGenerator<string>
  /** Changes of state and log lines from the first on, or after `lastEventId`, until it has ended. Lost connections are made anew. */
  events(options?: EventsOptions): AsyncGenerator<LaunchEvent>
  /**
   * Until its end is proved: processes and GPU memory gone.
   * @param options `timeout` 120,000 ms where not said; `force` also stops the node's own model
   */
  stop(options?: WaitOptions & { force?: boolean }): Promise<LaunchResponse>
}

/** A launch that `await using` stops at the end of the block. */
export interface OwnLaunch extends Launch, AsyncDisposable {}

export type LaunchDeps = { rest: Rest; inference: Inference; baseUrl: string }

const isPassing = (error: unknown) =>
  error instanceof UnreachableError ||
  error instanceof WaitTimeoutError ||
  (error instanceof RequestError && error.status >= 502 && error.status <= 504)

export function createLaunch(first: LaunchResponse, { rest, inference, baseUrl }: LaunchDeps): OwnLaunch {
  const id = first.launch_id
  const held = { snapshot: first }
  const keep = (now: LaunchResponse) => (held.snapshot = now)
  const ask = async (timeout?: number, signal?: AbortSignal) =>
    keep(await rest.ask(`GET /status/${encodeURIComponent(id)}`, launchResponse, { timeout, signal }))
  const launch: OwnLaunch = {
    id,
    openaiUrl: `${baseUrl.replace(/\/+$/, '')}/launch/${id}/v1`,
    get snapshot() {
      return held.snapshot
    },
    status: () => ask(),
    untilReady: ({ onChange, timeout = 600_000, signal } = {}) =>
      until(`launch ${id} is ready`, ask, { timeout, signal }, (now) => {
        onChange?.(now)
        if (isTerminal(now.state) || now.state === 'stopping') throw new LaunchEndedError(now)
        return now.state === 'ready'
      }),
    ...createGeneration(id, inference),
    logs: (options = {}) => readLogs({ rest, id, ask }, options),
    events: (options = {}) => followEvents(rest, id, options),
    async stop({ force, timeout = 120_000, signal } = {}) {
      // The service answers within 28 s, old ones within 40.
      const query = { force: force ? true : undefined }
      const how = { query, timeout: 45_000, signal }
      const now = keep(await rest.ask(`POST /stop/${encodeURIComponent(id)}`, launchResponse, how))
      if (isTerminal(now.state)) return now
      return until(`launch ${id} is stopped`, ask, { timeout, signal }, ({ state }) => isTerminal(state))
    },
    async [Symbol.asyncDispose]() {
      await launch.stop().catch((error: unknown) => {
        // Long ended, and no longer kept: what was wanted is so.
        if (!(error instanceof RequestError && error.status === 404)) throw error
      })
    },
  }
  return launch
}

type AskStatus = (timeout: number, signal?: AbortSignal) => Promise<LaunchResponse>

/** Asks more and more rarely, at last once a second: also services without events are served. */
async function until(
  what: string,
  ask: AskStatus,
  { timeout, signal }: WaitOptions & { timeout: number },
  isWanted: (now: LaunchResponse) => boolean,
): Promise<LaunchResponse> {
  const end = performance.now() + timeout
  let pause = 50
  for (;;) {
    const left = Math.max(1, end - performance.now())
    const now = await ask(Math.min(left, 30_000), signal).catch((error: unknown) => {
      signal?.throwIfAborted()
      if (!isPassing(error)) throw error
    })
    if (now && isWanted(now)) return now
    if (performance.now() + pause > end) throw new WaitTimeoutError(what, timeout)
    await wait(pause, undefined, signal ? { signal } : {})
    pause = Math.min(1000, pause * 1.5)
  }
}

type LogSource = { rest: Rest; id: string; ask: AskStatus }
type LogOptions = { offset?: number; follow?: boolean; signal?: AbortSignal }

async function* readLogs({ rest, id, ask }: LogSource, { offset = 0, follow, signal }: LogOptions) {
  let at = offset
  for (;;) {
    // Asked before its log: what an ended one wrote is then complete.
    const ended = !follow || isTerminal((await ask(30_000, signal)).state)
    for (;;) {
      const query = { offset: at }
      const piece = await rest.ask(`GET /logs/${encodeURIComponent(id)}`, logsResponse, { query, signal })
      if (piece.content === '') break
      at = piece.next_offset
      yield piece.content
    }
    if (ended) return
    await wait(500, undefined, signal ? { signal } : {})
  }
}
