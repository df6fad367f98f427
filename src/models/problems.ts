// Everything that can be wrong with model files and the volume they are on; README's table is made from this.
import type { Problem } from '../api/status.ts'
import { problemsOf } from '../core/problem.ts'

export const modelProblems = {
  'model-name-invalid': {
    title: 'the model name is neither a repository nor an absolute folder',
    remedy: 'write MODEL_NAME=ORG/NAME as the hub spells it, or an absolute path',
  },
  'model-folder-missing': {
    title: 'the model folder does not exist',
    remedy: 'correct MODEL_NAME, or put the model there; the service user must be able to read it',
  },
  'model-incomplete': {
    title: 'files of the model are missing or damaged',
    remedy: 'delete the file named in the evidence and let it be downloaded again, or copy it from a complete machine',
  },
  'model-offline': {
    title: 'the model is not here and downloads are switched off',
    remedy: 'set HF_HUB_OFFLINE=false, or put the complete model into the cache (HF_HOME)',
  },
  'model-not-found': {
    title: 'the hub has no such model or revision',
    remedy: 'correct MODEL_NAME; a private model also needs HF_TOKEN',
  },
  'hub-unauthorized': {
    title: 'the hub refuses access to this model',
    remedy: 'accept the terms of the model on the hub and set HF_TOKEN to a token that may read it',
  },
  'hub-unreachable': {
    title: 'the model hub cannot be reached',
    remedy: 'check network, DNS and HF_ENDPOINT; the download goes on by itself',
  },
  'model-download-failed': {
    title: 'the model cannot be downloaded',
    remedy: 'read the evidence; what was downloaded is kept and the download goes on from there',
  },
  'model-disk-too-small': {
    title: 'the disk has not enough room for the model',
    remedy: 'enlarge the volume of HF_HOME or delete other models (`DELETE /api/v1/models`)',
  },
  'model-cache-unwritable': {
    title: 'the model cache cannot be written',
    remedy: 'let the service user own HF_HOME and mount it read-write',
    dependsOn: 'path-unwritable',
  },
  'model-removed': {
    title: 'the model was deleted by an API call',
    remedy: 'ask for it again (`POST /api/v1/models/download`) or restart the daemon',
  },
  'model-cache-off-volume': {
    title: 'HF_HOME is not on the data volume',
    remedy: 'set HF_HOME to a folder below MODEL_VOLUME_MOUNT; nothing is downloaded to another disk',
  },
  'volume-missing': {
    title: 'the data volume is not attached',
    remedy: 'attach the volume, or correct MODEL_VOLUME (volume id as NVMe serial, or file system label)',
  },
  'volume-not-mounted': {
    title: 'the data volume is attached but not mounted',
    remedy: 'nothing: the daemon restarts once so that its unit mounts it; else run `systemctl restart gonka-node`',
  },
  'volume-wrong': {
    title: 'another disk is mounted in the place of the data volume',
    remedy: 'unmount it, or correct MODEL_VOLUME or MODEL_VOLUME_MOUNT',
  },
  'volume-mount-failed': {
    title: 'the data volume cannot be mounted',
    remedy: 'check its file system (`blkid`, `fsck`); a new volume must be formatted by you, the daemon never does',
  },
} as const

export type ModelProblemCode = keyof typeof modelProblems

export type ModelProblem = Problem & { code: ModelProblemCode }

export const toModelProblem = problemsOf(modelProblems)

/** A bad world on its way up to where it becomes a status; never leaves this folder. */
export class ModelTrouble extends Error {
  override readonly name = 'ModelTrouble'
  readonly problem: ModelProblem

  constructor(code: ModelProblemCode, evidence: string, options: { cause?: unknown } = {}) {
    super(evidence, options)
    this.problem = toModelProblem(code, evidence)
  }
}
