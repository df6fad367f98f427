// Starts the process of a life in a folder of its own: in the state folder, and in the spare one where a full or broken disk
// does not let it. A failed try leaves nothing.
import { join } from 'node:path'
import { type Body, launchBody } from '../core/body.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { EngineDeps, EngineSpec } from './life.ts'
import { dropLifeFolder, makeLifeFolder, toLogPath } from './life-folder.ts'
import { toMeta } from './spec.ts'

/** What a disk says, or a folder that was not made for us; a process that cannot be forked is nothing that another folder mends. */
const diskTroubles = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'ENOTDIR', 'ENAMETOOLONG'])

/** @throws Error that names every folder that was tried, and what was wrong there */
export async function launchLife(id: string, spec: EngineSpec, deps: EngineDeps): Promise<Body> {
  const { livesFolder, spareFolder, log } = deps
  try {
    const body = await launchIn(livesFolder, id, spec, deps)
    deps.onTrouble?.(undefined)
    return body
  } catch (error) {
    const trouble = `${livesFolder}: ${messageOf(error)}`
    const isOfDisk = diskTroubles.has(codeOf(error) ?? '')
    if (isOfDisk) deps.onTrouble?.(trouble)
    if (!isOfDisk || spareFolder === undefined) throw new Error(trouble, { cause: error })
    log.error({ why: trouble, spareFolder }, 'an engine cannot be kept in the state folder')
    return await launchIn(spareFolder, id, spec, deps).catch((worse: unknown) => {
      throw new Error(`${trouble}; ${spareFolder}: ${messageOf(worse)}`, { cause: worse })
    })
  }
}

async function launchIn(place: string, id: string, spec: EngineSpec, deps: EngineDeps): Promise<Body> {
  const folder = join(place, id)
  const logPath = toLogPath(deps.logDir, id)
  try {
    await makeLifeFolder(folder, logPath, (why) => deps.log.warn({ logPath, why }, 'engine log stays in its folder'))
    const { python: command, argv: args, env } = spec
    const origin = `http://127.0.0.1:${spec.port}`
    return await launchBody({ id, folder, command, args, env, origin, meta: toMeta(spec) }, deps)
  } catch (error) {
    await dropLifeFolder(folder, logPath)
    throw error
  }
}
