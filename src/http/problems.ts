// Everything that can be wrong with a listener, as the operator reads it. README's table is made from this one.
import { problemsOf } from '../core/problem.ts'

export const httpProblems = {
  'port-taken': {
    title: 'another program listens on our port',
    remedy: 'stop that program or give this listener another port; it is tried again by itself',
  },
  'port-forbidden': {
    title: 'we may not listen on this port',
    remedy: 'choose a port of 1024 or above, or give the unit CAP_NET_BIND_SERVICE',
  },
  'bind-address-absent': {
    title: 'the address to listen on is not an address of this machine',
    remedy: 'correct NODE_BIND or HOST: 0.0.0.0 means all addresses; it is tried again by itself',
  },
  'listen-failed': {
    title: 'a listener cannot be opened',
    remedy: 'look at the evidence; it is tried again by itself',
  },
} as const

export type HttpProblemCode = keyof typeof httpProblems

export const describeListenProblem = problemsOf(httpProblems)
