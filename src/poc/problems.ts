// Everything that can be wrong with PoC, as the operator reads it. README's table is made from this one.
import { problemsOf } from '../core/problem.ts'

export const pocProblems = {
  'poc-engine-missing': {
    title: 'fewer engines mine than planned',
    remedy: 'look at the engines: `gonka-node engines`; the missing one takes its reserved group as soon as it serves',
  },
  'poc-init-refused': {
    title: 'an engine refuses the PoC round',
    remedy:
      'compare the parameters of the round with the model that is loaded; the API node decides model, seq_len and k_dim',
  },
  'poc-init-failed': {
    title: 'an engine cannot be told to mine',
    remedy: 'look at the log of the engine: `gonka-node logs`; the call is repeated as long as the round lasts',
  },
  'poc-generation-ended': {
    title: 'an engine stopped mining by itself',
    remedy:
      'look at the log of the engine for the crash of its PoC task; a batch size that does not fit into GPU memory is the usual cause',
  },
  'poc-stalled': {
    title: 'an engine says that it mines but computes nothing',
    remedy:
      'look at the log and the GPU of the engine; a wedged engine is cured by ending its process (pid: `gonka-node engines`), the daemon starts it again',
  },
  'poc-no-callbacks': {
    title: 'an engine mines but sends no batches',
    remedy: 'look at the log of the engine for an error of its callback sender, and update the PoC code of this vLLM',
  },
  'poc-callbacks-refused': {
    title: 'the API node refuses the batches',
    remedy:
      'read its answer: 503 means that the chain is not in the generation phase, 400 that the node id or the vectors are wrong',
  },
  'poc-callbacks-unreachable': {
    title: 'the batches do not reach the API node',
    remedy:
      'check that this machine reaches the callback address of the API node (DAPI_API__POC_CALLBACK_URL, port 9100)',
  },
  'poc-status-unknown': {
    title: 'an engine does not tell its PoC status',
    remedy: 'look at the log of the engine; it may hang',
  },
  'poc-round-not-saved': {
    title: 'the PoC round cannot be written to disk',
    remedy: 'free or repair the disk of the state folder; until then a restart of the daemon forgets the round',
  },
} as const

export type PocProblemCode = keyof typeof pocProblems

export const describeProblem = problemsOf(pocProblems)
