// Models on disk, as the broker asks and pre-downloads them (contracts/node-api.md 1.8).
import type { FastifyInstance } from 'fastify'
import {
  type DeleteAnswer,
  type DownloadAnswer,
  modelBody,
  type ModelListAnswer,
  type ModelName,
  type ModelSpaceAnswer,
  type ModelStatusAnswer,
} from '../api/mlnode-models.ts'
import type { Clock } from '../core/clock.ts'
import { parseBody } from '../http/pydantic-issues.ts'
import type { ModelRef, ModelState } from '../models/files.ts'
import type { MlnodeDeps } from './deps.ts'

export function addModels(app: FastifyInstance, { models, fleet, clock }: MlnodeDeps): void {
  app.post('/api/v1/models/status', async (request): Promise<ModelStatusAnswer> => {
    const ref = toRef(parseBody(modelBody, request.body))
    return toStatusAnswer(ref, await models.status(ref), clock)
  })
  app.post('/api/v1/models/download', async (request, reply): Promise<DownloadAnswer> => {
    const ref = toRef(parseBody(modelBody, request.body))
    const started = await models.download(ref)
    const task = `${ref.repo}:${ref.revision ?? 'latest'}`
    reply.code(202)
    if (started === 'ignored') return { task_id: `${task}:offline`, status: 'IGNORED', model: toName(ref) }
    return { task_id: task, status: (await models.status(ref)).status, model: toName(ref) }
  })
  app.delete('/api/v1/models', async (request): Promise<DeleteAnswer> => {
    const ref = toRef(parseBody(modelBody, request.body))
    return { status: await models.remove(ref, findUsers(fleet, ref)), model: toName(ref) }
  })
  app.get('/api/v1/models/list', async (): Promise<ModelListAnswer> => {
    const all = await models.list()
    return { models: all.map(({ model, status }) => ({ model: toName(model), status })) }
  })
  app.get('/api/v1/models/space', async (): Promise<ModelSpaceAnswer> => {
    const { cacheBytes, availableBytes, path } = await models.space()
    return { cache_size_gb: toGb(cacheBytes), available_gb: toGb(availableBytes), cache_path: path }
  })
}

/** A parked engine was stopped by its owner: who deletes then means it. */
function findUsers({ upstreams }: MlnodeDeps['fleet'], { repo }: ModelRef): string[] {
  const using = upstreams
    .peek()
    .filter(({ model, state }) => model === repo && /loading|serving|unwell/.test(state.peek()))
  return using.map(({ slot, state }) => `engine ${slot} (${state.peek()})`)
}

function toStatusAnswer(ref: ModelRef, { status, startedAt, error }: ModelState, clock: Clock): ModelStatusAnswer {
  const start = startedAt && startedAt.getTime() / 1000
  return {
    model: toName(ref),
    status,
    ...(start !== undefined && {
      progress: { start_time: start, elapsed_seconds: Math.max(0, clock.wall() / 1000 - start) },
    }),
    ...(error !== undefined && { error_message: error }),
  }
}

function toRef({ hf_repo, hf_commit }: { hf_repo: string; hf_commit?: string | null | undefined }): ModelRef {
  return { repo: hf_repo, ...(hf_commit && { revision: hf_commit }) }
}

const toName = ({ repo, revision }: ModelRef): ModelName => ({ hf_repo: repo, hf_commit: revision ?? null })
const toGb = (bytes: number) => Math.round((bytes / 2 ** 30) * 100) / 100
