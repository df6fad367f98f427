// From the record of a launch to the engine that it asks for. Pure.
import type { Problem } from '../api/status.ts'
import { messageOf } from '../core/errors.ts'
import { toLaunchArgs } from './launch-args.ts'
import { launchOwner, type LaunchRecord } from './launch-record.ts'
import { fleetProblem } from './problems.ts'
import type { LaunchWish } from './resolve.ts'

const known = new WeakMap<LaunchRecord, LaunchWish | Problem>()

/** Of a record, which never changes, it is made once: each pass of the fleet asks for all of them. */
export function toWish(record: LaunchRecord): LaunchWish | Problem {
  const wish = known.get(record) ?? makeWish(record)
  known.set(record, wish)
  return wish
}

/** What another version of the daemon took may be refused by this one: that is the end of one launch, not of the loop. */
function makeWish({ id, request, gpuIds }: LaunchRecord): LaunchWish | Problem {
  try {
    const { model, args } = toLaunchArgs(request, gpuIds.length)
    return { owner: launchOwner(id), servedName: request.model, ask: { model, args: [...args] }, gpus: gpuIds }
  } catch (error) {
    return fleetProblem('launch-arguments-refused', messageOf(error))
  }
}
