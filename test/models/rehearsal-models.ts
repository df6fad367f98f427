// A machine with a cache and a hub, for the tests of this folder.
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import type { Files } from '../../src/models/files.ts'
import { type Models, type ModelsDeps, startModels } from '../../src/models/models.ts'
import { type HubKnobs, type RehearsalHub, startRehearsalHub } from '../../src/rehearsal/hub.ts'
import { tempDir } from '../support/temp-dir.ts'
import { writeModel } from './model-folder.ts'

export const repo = 'org/model'

export type World = { models: Models; hub: RehearsalHub; hfHome: string; source: string; readonly again: () => Models }

/** @param bytes of each of the three shards at the hub */
export async function startWorld(
  options: {
    knobs?: Partial<HubKnobs>
    bytes?: number
    settings?: Partial<ModelsDeps['settings']>
    deps?: Partial<ModelsDeps>
  } = {},
): Promise<World> {
  const root = await tempDir()
  const source = await writeModel(join(root, repo), options.bytes)
  const hub = await startRehearsalHub(root, options.knobs)
  const hfHome = await tempDir()
  const start = () => {
    const models = startModels({
      settings: { hfHome, offline: false, endpoint: hub.url, volumeMount: '/data', ...options.settings },
      log: silentLog,
      retryFirst: 20,
      retryEvery: 50,
      ...options.deps,
    })
    onTestFinished(() => models.end('stop'))
    return models
  }
  onTestFinished(() => hub.end())
  return { models: start(), hub, hfHome, source, again: start }
}

export const isReady = (files: Files): files is Extract<Files, { kind: 'ready' }> => files.kind === 'ready'
export const isMissing = (files: Files): files is Extract<Files, { kind: 'missing' }> => files.kind === 'missing'
export const bound = () => AbortSignal.timeout(20_000)
