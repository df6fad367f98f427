// The problems of the control surfaces; README's table is made from these.
import { problemsOf } from '../core/problem.ts'

export const controlProblems = {
  'control-socket': {
    title: 'the control socket cannot be opened',
    remedy:
      'check that the runtime folder exists, is writable for the service, and that no other gonka-node runs; then systemctl restart gonka-node',
  },
  'control-refused': {
    title: 'the control listener stays closed: it would be open to everybody',
    remedy: 'set VLLM_ACCESS_KEY or VLLM_ACCESS_KEY_FILE, or let HOST be 127.0.0.1',
  },
} as const

export const toControlProblem = problemsOf(controlProblems)
