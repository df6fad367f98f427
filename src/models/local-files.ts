// What is on this machine of a model, judged without the network.
import { join } from 'node:path'
import { findSnapshot, hasIncomplete, isFolder, listSnapshots, renderRepoFolder } from './cache-layout.ts'
import { judgeModelFolder } from './completeness.ts'
import type { ModelRef } from './files.ts'

/** partial: something is here, with what is wrong with it, worst first. */
export type Local =
  | { kind: 'complete'; path: string; commit?: string }
  | { kind: 'partial'; path: string; wrong: readonly string[] }
  | { kind: 'absent' }

export async function readLocalFolder(ref: ModelRef): Promise<Local> {
  if (!(await isFolder(ref.repo))) return { kind: 'absent' }
  const found = await judgeModelFolder(ref.repo, ref.weightless)
  return found.kind === 'complete'
    ? { kind: 'complete', path: ref.repo }
    : { kind: 'partial', path: ref.repo, wrong: found.wrong }
}

/** @param hub `$HF_HOME/hub` */
export async function readLocalRepo(hub: string, ref: ModelRef): Promise<Local> {
  const folder = renderRepoFolder(hub, ref.repo)
  if (!(await isFolder(folder))) return { kind: 'absent' }
  const snapshot = await findSnapshot(folder, ref.revision ?? 'main')
  const only = ref.revision === undefined && !snapshot ? await findOnlySnapshot(folder) : undefined
  const path = snapshot?.path ?? only
  if (path === undefined) {
    const cut = await hasIncomplete(folder)
    return cut ? { kind: 'partial', path: folder, wrong: ['a download was cut off'] } : { kind: 'absent' }
  }
  const found = await judgeModelFolder(path, ref.weightless)
  if (found.kind === 'complete') return { kind: 'complete', path, ...(snapshot && { commit: snapshot.commit }) }
  return { kind: 'partial', path, wrong: found.wrong }
}

/** Without refs/main (a copied cache) a single snapshot is what is meant. */
async function findOnlySnapshot(folder: string): Promise<string | undefined> {
  const [first, ...others] = await listSnapshots(folder)
  return first !== undefined && others.length === 0 ? join(folder, 'snapshots', first) : undefined
}
