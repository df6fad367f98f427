// Host CPU between two scrapes, from /proc/stat. Pure.

/** Ticks since boot. */
export type CpuTimes = { total: number; idle: number; steal: number }

export function parseCpuTimes(text: string): CpuTimes | undefined {
  const fields = /^cpu\s+(.+)$/m.exec(text)?.[1]?.trim().split(/\s+/).map(Number)
  if (!fields || fields.length < 8 || fields.some(Number.isNaN)) return undefined
  // user nice system idle iowait irq softirq steal; guest times are part of user already.
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = fields
  return { total: user + nice + system + idle + iowait + irq + softirq + steal, idle: idle + iowait, steal }
}

/** Undefined where no time went by between the two. */
export function judgeCpu(before: CpuTimes, now: CpuTimes): { busy: number; steal: number } | undefined {
  const total = now.total - before.total
  if (total <= 0) return undefined
  const share = (ticks: number) => Math.min(1, Math.max(0, ticks / total))
  return { busy: share(total - (now.idle - before.idle)), steal: share(now.steal - before.steal) }
}
