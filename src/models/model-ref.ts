// How a model is named, and what such a name must not be: names come from unauthenticated callers and become paths.
import { isAbsolute } from 'node:path'
import { Refusal } from '../core/errors.ts'
import type { ModelRef } from './files.ts'
import { modelProblems } from './problems.ts'

/** folder: absolute path. remote: `s3://…`, which the engine streams by itself. */
export type RefKind = 'repository' | 'folder' | 'remote' | 'invalid'

export function judgeRef({ repo, revision }: ModelRef): RefKind {
  if (/^[a-z][a-z0-9+]+:\/\//.test(repo)) return 'remote'
  if (isAbsolute(repo)) return repo.split('/').includes('..') ? 'invalid' : 'folder'
  const isName = /^[A-Za-z0-9][\w.-]{0,95}(\/[A-Za-z0-9][\w.-]{0,95})?$/.test(repo) && !/\.\.|--/.test(repo)
  const isRevision = revision === undefined || (/^[\w][\w./-]{0,200}$/.test(revision) && !revision.includes('..'))
  return isName && isRevision ? 'repository' : 'invalid'
}

/** @throws Refusal 400 for what is no hub repository */
export function checkRepository(ref: ModelRef): void {
  if (judgeRef(ref) === 'repository') return
  throw new Refusal('model-name-invalid', 400, `"${ref.repo}" at "${ref.revision ?? 'main'}" is no hub repository`, {
    remedy: modelProblems['model-name-invalid'].remedy,
  })
}

/** One string per model, for maps and task ids: `repo:commit or latest`. */
export function renderRef({ repo, revision }: ModelRef): string {
  return `${repo}:${revision ?? 'latest'}`
}
