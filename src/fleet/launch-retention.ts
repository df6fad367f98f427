// How many launches that have ended are kept, and their logs with them: bounded by number, age and bytes; the oldest go first.
import { stat, unlink } from 'node:fs/promises'
import { isTerminal } from '../api/launches.ts'
import type { Clock } from '../core/clock.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { fromStamp, type LaunchRecord } from './launch-record.ts'
import type { LaunchRecords } from './launch-records.ts'

/** Age in ms. */
export type LaunchLimits = { count: number; age: number; bytes: number }

export interface LaunchRetention {
  /** Removes what is beyond the limits. Never rejects. */
  sweep(): Promise<void>
  /** Removes one that has ended. Never rejects. */
  forget(id: string): Promise<void>
}

export function createLaunchRetention(deps: {
  records: Pick<LaunchRecords, 'all' | 'get' | 'remove'>
  limits: LaunchLimits
  clock: Clock
  log: Log
}): LaunchRetention {
  const { records, limits, clock, log } = deps
  // The log of one that has ended grows no more, and each end is followed by a sweep: 200 are not looked at 200 times.
  const sizes = new WeakMap<LaunchRecord, Promise<number>>()
  const sizeOf = (record: LaunchRecord): Promise<number> => {
    const size = sizes.get(record) ?? readSize(record.logPath)
    sizes.set(record, size)
    return size
  }
  const forget = async (id: string) => {
    const record = records.get(id)
    if (!record) return
    // The log first: nobody would look for one whose record is gone.
    await unlink(record.logPath).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') log.warn({ launch: id, why: messageOf(error) }, 'log of a launch not removed')
    })
    await records.remove(id)
  }
  return {
    forget,
    async sweep() {
      const ended = records.all.peek().filter((one) => isTerminal(one.state))
      const sized = await Promise.all(ended.map(async (record) => ({ record, bytes: await sizeOf(record) })))
      for (const id of pickExpired(sized, limits, clock.wall())) await forget(id)
    },
  }
}

/** The last that ended stay. Pure. */
export function pickExpired(
  ended: readonly { record: Pick<LaunchRecord, 'id' | 'updatedAt'>; bytes: number }[],
  { count, age, bytes }: LaunchLimits,
  now: number,
): string[] {
  let kept = 0
  let sum = 0
  const newest = ended.toSorted((a, b) => (a.record.updatedAt < b.record.updatedAt ? 1 : -1))
  return newest.flatMap(({ record, bytes: size }) => {
    const isOld = now - fromStamp(record.updatedAt) / 1000 > age
    const isOver = kept >= count || sum + size > bytes
    if (isOld || isOver) return [record.id]
    kept += 1
    sum += size
    return []
  })
}

/** What it takes of the disk: its head may be a hole. */
const readSize = (path: string): Promise<number> =>
  stat(path).then(
    ({ blocks }) => blocks * 512,
    () => 0,
  )
