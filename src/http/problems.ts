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
  'access-key-file': {
    title: 'the file of access keys cannot be used',
    remedy:
      'let VLLM_ACCESS_KEY_FILE name a file with one key per line that the service can read and others cannot (0600, or 0640 with its group); it is read again by itself',
  },
  'tls-files': {
    title: 'the certificate of the control listener cannot be used',
    remedy:
      'let CONTROL_TLS_CERT and CONTROL_TLS_KEY name a certificate chain and its key in PEM that the service can read; they are read again by themselves',
  },
} as const

export type HttpProblemCode = keyof typeof httpProblems

export const describeHttpProblem = problemsOf(httpProblems)
