// Mounts the data volume: for the privileged step before the daemon (ExecStartPre=+), never called by the daemon itself.
// Bounded; never formats a disk, never mounts over what is mounted already.
import { mkdir } from 'node:fs/promises'
import { type Clock, systemClock } from '../core/clock.ts'
import { runProgram } from '../core/run-program.ts'
import {
  type DiskRoots,
  findDisk,
  readVolume,
  systemRoots,
  type VolumeSettings,
  type VolumeState,
} from './find-volume.ts'
import { toModelProblem } from './problems.ts'

export type MountDeps = {
  settings: VolumeSettings & { volumeTimeout: number }
  roots?: DiskRoots
  clock?: Clock
  /** The mount program, in words. */
  mount?: readonly string[]
}

/**
 * Into the namespace of the machine: systemd 252 gives a step before the start (ExecStartPre=+) a namespace of its own, and
 * what is mounted in that is gone with it.
 */
export const mountOnMachine: readonly string[] = ['nsenter', '--target=1', '--mount', '--', 'mount']

/** Waits for the disk until volumeTimeout; @returns how it is afterwards. Never rejects for a bad world: the boot goes on. */
export async function mountVolume(deps: MountDeps): Promise<VolumeState> {
  const { settings, roots = systemRoots, clock = systemClock, mount = ['mount'] } = deps
  const deadline = clock.now() + settings.volumeTimeout
  for (;;) {
    const state = await readVolume(settings, roots)
    if (state.kind === 'not-mounted') return mountDisk({ settings, roots, mount })
    if (state.kind !== 'missing' || clock.now() >= deadline) return state
    await clock.wait(250)
  }
}

/** 30 s: a journal replay of a large ext4 takes seconds, a frozen volume takes for ever. */
const mountTimeout = 30_000

async function mountDisk(deps: {
  settings: VolumeSettings
  roots: DiskRoots
  mount: readonly string[]
}): Promise<VolumeState> {
  const { settings, roots, mount } = deps
  const disk = await findDisk(settings.volume ?? '', roots)
  const name = disk?.partitions[0] ?? disk?.name ?? ''
  const failed = (evidence: string): VolumeState => ({
    kind: 'not-mounted',
    device: `/dev/${name}`,
    problem: toModelProblem('volume-mount-failed', evidence),
  })
  try {
    await mkdir(settings.volumeMount, { recursive: true })
  } catch (error) {
    return failed(`${settings.volumeMount}: ${String(error)}`)
  }
  const args = ['-o', 'noatime,nodev,nosuid', `${roots.dev}/${name}`, settings.volumeMount]
  const [program = 'mount', ...words] = mount
  const outcome = await runProgram(program, [...words, ...args], { timeout: mountTimeout })
  if (outcome.kind === 'exited' && outcome.code === 0) return readVolume(settings, roots)
  if (outcome.kind === 'exited')
    return failed(`mount ${args.join(' ')}: exit ${outcome.code}: ${outcome.stderr.trim().slice(0, 200)}`)
  if (outcome.kind === 'not-started') return failed(`${program}: ${outcome.why}`)
  return failed(`mount ${args.join(' ')} did not end within ${mountTimeout / 1000} s`)
}
