// Watches the data volume. We cannot mount (a service user): where it is attached and not mounted we say so, and main
// restarts once so that the unit's privileged step mounts it.
import { signal, type ReadonlySignal } from '@preact/signals-core'
import { type Clock, systemClock } from '../core/clock.ts'
import type { Component } from '../core/component.ts'
import type { Log } from '../core/log.ts'
import { startLoop } from '../core/loop.ts'
import { createStatus, type StatusSignal } from '../core/status-signal.ts'
import { type DiskRoots, readVolume, systemRoots, type VolumeSettings, type VolumeState } from './find-volume.ts'

export interface Volume extends Component {
  readonly state: ReadonlySignal<VolumeState>
  /** The volume came, unmounted, since the privileged step looked: that step should run again. Once per change. */
  readonly mountWanted: ReadonlySignal<boolean>
}

export type VolumeDeps = {
  settings: VolumeSettings & { volumeTimeout: number }
  /** How the privileged step found it, see toVolumeMark(); our own first look where there was none. */
  before?: string | undefined
  log: Log
  clock?: Clock
  roots?: DiskRoots
  every?: number
}

/** A volume that is not there is `looking` until volumeTimeout is over, then `missing`; one that comes later is taken at once. */
export function startVolume(deps: VolumeDeps): Volume {
  const { settings, log, clock = systemClock, roots = systemRoots, every = 1000 } = deps
  const state = signal<VolumeState>(settings.volume === undefined ? { kind: 'none' } : { kind: 'looking' })
  const mountWanted = signal(false)
  let last: Seen | undefined = deps.before === undefined ? undefined : { mark: deps.before, by: 'step' }
  const status = createStatus('looking for the data volume', clock)
  const ending = new AbortController()
  const began = clock.now()
  const look = async () => {
    const found = await readVolume(settings, roots)
    const mark = toVolumeMark(found)
    if (found.kind === 'not-mounted' && isNews(last, mark)) mountWanted.value = true
    last = { mark, by: 'us' }
    const early = found.kind === 'missing' && clock.now() - began < settings.volumeTimeout
    const next: VolumeState = early ? { kind: 'looking' } : found
    if (JSON.stringify(next) === JSON.stringify(state.peek())) return
    log.info({ volume: next.kind }, 'data volume')
    state.value = next
    tell(status, next, settings.volume ?? '')
  }
  if (settings.volume === undefined) status.set('off', 'MODEL_VOLUME is not set')
  const loop =
    settings.volume === undefined ? undefined : startLoop('volume', look, { log, abort: ending.signal, every, clock })
  return {
    name: 'volume',
    status: status.signal,
    state,
    mountWanted,
    async end() {
      ending.abort()
      await loop?.ended
    },
  }
}

/** What the privileged step leaves for us: `not-mounted` and on which device, so that a change can be told. Pure. */
export const toVolumeMark = (state: VolumeState): string =>
  state.kind === 'not-mounted' ? `${state.kind} ${state.device}` : state.kind

type Seen = { mark: string; by: 'step' | 'us' }

/**
 * What the privileged step did not mount, or mounted where we do not see it, it would not the next time either: only what it
 * missed, or had not been told of yet (the env file came after it), is news to it.
 */
function isNews(last: Seen | undefined, mark: string): boolean {
  if (last === undefined || last.mark === mark) return false
  return last.by === 'us' || last.mark === 'missing' || last.mark === 'none'
}

function tell(status: StatusSignal, state: VolumeState, volume: string): void {
  switch (state.kind) {
    case 'none':
      return status.set('off', 'MODEL_VOLUME is not set')
    case 'looking':
      return status.set('starting', `waiting for ${volume}`)
    case 'mounted':
      return status.set('ok', `${volume} (${state.device}) at ${state.point}`)
    case 'not-mounted':
    case 'missing':
    case 'wrong':
      return status.set('failed', state.problem.title, state.problem)
  }
}
