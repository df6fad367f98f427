// Why the files of an order are not here and will not come, before anything is given up for it.
import type { ReadonlySignal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import type { Files } from '../models/files.ts'

/** What is on disk is known within milliseconds, also on a busy machine; what has to be fetched is not waited for, ms. */
const bound = 5000

export async function findMissing(files: ReadonlySignal<Files>, abort: AbortSignal): Promise<Problem | undefined> {
  const known = await until(files, ({ kind }) => kind !== 'looking', within(bound, abort)).catch(() => files.peek())
  return known.kind === 'missing' ? known.problem : undefined
}
