// Ends a life: gently, then by KILL to its cgroup, its group and everything proven to be of it, until nothing is left.
import type { BodyRecord } from './body.ts'
import { findProcesses, isKeeperAlive, listNear } from './body-processes.ts'
import { killCgroup, removeCgroup } from './cgroup.ts'
import type { Clock } from './clock.ts'
import { type ProcStat, readProcStat } from './proc.ts'

/** 3 s: a worker of vLLM lived 2.5 s longer than its API server (facts/vllm.md 2.9); an orphan never ends by itself. */
const orphanPatience = 3000
/** What KILL does not end within this long is stuck in the kernel. */
const killPatience = 10_000

export type Gently = { signal: 'SIGINT' | 'SIGTERM'; patience: number }

/** @throws Error naming the pids that survived KILL */
export async function endProcesses(record: BodyRecord, gently: Gently, clock: Clock): Promise<void> {
  const wasAlive = isKeeperAlive(record)
  const members = new Map<number, ProcStat>()
  const remember = (found: readonly ProcStat[]) => found.forEach((one) => members.set(one.pid, one))
  remember(await findProcesses(record))
  if (wasAlive && gently.patience > 0) {
    signalAll([...members.values()], record, gently.signal)
    await waitGently(record, gently.patience, clock, remember)
  }
  const end = clock.now() + killPatience
  for (let pause = 5; ; pause = Math.min(200, pause * 2)) {
    remember(await findProcesses(record))
    const living = [...members.values()].filter(isSame)
    if (living.length === 0) break
    if (clock.now() > end)
      throw new Error(`processes ${living.map(({ pid }) => pid).join(', ')} of ${record.id} survived SIGKILL`)
    killCgroup(record.cgroup)
    signalAll(living, record, 'SIGKILL')
    await clock.wait(pause)
  }
  // The kernel may need a moment more to take the last one out of its books.
  while (!removeCgroup(record.cgroup) && clock.now() < end) await clock.wait(10)
}

/** To the keeper's group at once where it is proven, so that no member can fork away in between, else one by one. */
export function signalAll(members: readonly ProcStat[], record: BodyRecord, name: NodeJS.Signals): void {
  const inGroup = members.filter((one) => one.group === record.pid)
  if (record.pid !== undefined && inGroup.some(isSame)) send(-record.pid, name)
  for (const one of members) if (one.group !== record.pid && isSame(one)) send(one.pid, name)
}

async function waitGently(
  record: BodyRecord,
  patience: number,
  clock: Clock,
  remember: (found: readonly ProcStat[]) => void,
): Promise<void> {
  const began = clock.now()
  let leaderGone: number | undefined
  for (let pause = 5; ; pause = Math.min(100, pause * 1.5)) {
    const near = listNear(record)
    remember(near)
    if (!isKeeperAlive(record)) leaderGone ??= clock.now()
    if (leaderGone !== undefined && (await findProcesses(record)).length === 0) return
    const now = clock.now()
    if (now - began >= patience || (leaderGone !== undefined && now - leaderGone >= orphanPatience)) return
    await clock.wait(pause)
  }
}

const isSame = (one: ProcStat): boolean => readProcStat(one.pid)?.startTime === one.startTime

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // Gone between look and signal, or not ours to signal: the proof afterwards says so.
  }
}
