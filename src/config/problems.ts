// Every problem code of the configuration (README lists them).
import { problemsOf } from '../core/problem.ts'

export const configProblems = {
  'config-bad': {
    title: 'the configuration cannot be used',
    remedy:
      'correct the lines named (`gonka-node config check FILE` tries a file without using it); the node restarts by itself',
  },
  'config-forbidden': {
    title: 'the service may not read the env file',
    remedy: 'make it root:gonka with mode 0640; the unit does so by itself before each start',
  },
  'config-unreadable': {
    title: 'the env file cannot be read',
    remedy: 'write a text file of less than 1 MB in its place',
  },
  'config-missing': {
    title: 'there is no env file',
    remedy:
      'write the env file; the node notices it, and runs on the last good configuration until then, where it had one',
  },
  'config-not-saved': {
    title: 'the configuration could not be kept as the last good one',
    remedy: 'free space in the state folder or make it writable; until then a bad edit stops the node',
  },
} as const

export const toConfigProblem = problemsOf(configProblems)
