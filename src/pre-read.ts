// Which model is read ahead (models/page-cache.ts): the one that the configuration names, as soon as its files are there; after an
// order the one that its engines are launched with, while they load.
import { isAbsolute } from 'node:path'
import { computed, type ReadonlySignal } from '@preact/signals-core'
import type { Config } from './config/schema.ts'
import type { Component } from './core/component.ts'
import type { Log } from './core/log.ts'
import { parseArgs } from './engine/args.ts'
import type { EngineView, Fleet, Planned } from './fleet/fleet.ts'
import { toModelRef } from './fleet/resolve.ts'
import type { Files } from './models/files.ts'
import type { Models } from './models/models.ts'
import { startPageCache } from './models/page-cache.ts'

type Parts = { models: Models; fleet: Pick<Fleet, 'planned' | 'engines' | 'launchedArgs'>; log: Log }

export function startPreRead({ engine, models: settings, host }: Config, { models, fleet, log }: Parts): Component {
  const named = readNamedFiles(engine, models)
  const files = computed(() =>
    pickPreRead({
      planned: fleet.planned.value,
      engines: fleet.engines.value,
      args: fleet.launchedArgs.value,
      named: named?.value,
    }),
  )
  const { readers } = settings
  const waits = named ? 'waiting for the model' : undefined
  return startPageCache({ files, readers, waits, stateDir: host.stateDir, log: log.child({ part: 'page-cache' }) })
}

/** Of the model that the configuration names; undefined where the node runs none by itself. */
export function readNamedFiles(engine: Config['engine'], models: Models): ReadonlySignal<Files> | undefined {
  return engine.model && engine.inferenceNode ? models.files(toModelRef({ model: engine.model }, engine)) : undefined
}

type Seen = {
  planned: Planned | undefined
  engines: readonly Pick<EngineView, 'phase' | 'adopted'>[]
  /** Of the engines that live. */
  args: readonly string[] | undefined
  /** Of the configuration's model. */
  named: Files | undefined
}

/** `looking`: nothing new is to be read. What is adopted, or serves, was read by its engine. Pure. */
export function pickPreRead({ planned, engines, args, named }: Seen): Files {
  if (planned?.owner !== 'broker') return named ?? { kind: 'looking' }
  const isLoading = engines.some(({ phase, adopted }) => !adopted && (phase === 'launching' || phase === 'loading'))
  if (!isLoading) return { kind: 'looking' }
  const launched = parseArgs(args ?? [])
  const path = launched.get('model')
  const isRead = path !== undefined && isAbsolute(path) && launched.get('load-format') !== 'dummy'
  return isRead ? { kind: 'ready', path } : { kind: 'looking' }
}
