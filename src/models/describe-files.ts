// A model's files as a status line. Pure but for the clock.
import type { Status } from '../api/status.ts'
import type { Clock } from '../core/clock.ts'
import { toGb } from './download.ts'
import type { Files, ModelRef } from './files.ts'

/** Since when is known for downloads; all else is as of now. */
export function describeFiles(ref: ModelRef, files: Files, clock: Clock): Status {
  const since = new Date(clock.wall())
  switch (files.kind) {
    case 'looking':
      return { health: 'starting', summary: `looking for ${ref.repo}`, since }
    case 'waiting':
      return {
        health: files.problem ? 'failed' : 'starting',
        summary: `${ref.repo}: ${files.why}`,
        since,
        // The volume says it itself; this is only what follows from it.
        ...(files.problem && { problem: { ...files.problem, dependsOn: files.problem.code } }),
      }
    case 'downloading': {
      const { bytesDone, bytesTotal, startedAt } = files
      const percent = bytesTotal > 0 ? ` (${Math.floor((100 * bytesDone) / bytesTotal)} %)` : ''
      const summary = `downloading ${ref.repo}: ${toGb(bytesDone)} of ${toGb(bytesTotal)} GB${percent}`
      return { health: 'starting', summary, since: startedAt }
    }
    case 'missing':
      return { health: 'failed', summary: `${ref.repo}: ${files.problem.title}`, since, problem: files.problem }
    case 'ready':
      return { health: 'ok', summary: `${ref.repo} is complete`, since }
  }
}
