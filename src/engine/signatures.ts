// All known failures, most specific first; symptoms and hints come after every cause.
import type { Signature } from './signature.ts'
import { hostSignatures } from './signatures-host.ts'
import { memorySignatures } from './signatures-memory.ts'
import { modelSignatures } from './signatures-model.ts'
import { softwareSignatures } from './signatures-software.ts'

const all = [...softwareSignatures, ...memorySignatures, ...modelSignatures, ...hostSignatures]

export const signatures: readonly Signature[] = [
  ...all.filter(({ weak }) => weak === undefined),
  ...all.filter(({ weak }) => weak === 'symptom'),
  ...all.filter(({ weak }) => weak === 'hint'),
]
