// Every verb, in the order in which help lists them.
import type { Verb } from './verb.ts'

export const verbs = {
  status: async () => (await import('./status.ts')).status,
  engines: async () => (await import('./engines.ts')).engines,
  launch: async () => (await import('./launch.ts')).launch,
  launches: async () => (await import('./launches.ts')).launches,
  stop: async () => (await import('./stop.ts')).stop,
  complete: async () => (await import('./complete.ts')).complete,
  stats: async () => (await import('./stats.ts')).stats,
  logs: async () => (await import('./logs.ts')).logs,
  poc: async () => (await import('./poc.ts')).poc,
  tunnels: async () => (await import('./tunnels.ts')).tunnels,
  'api-nodes': async () => (await import('./api-nodes.ts')).apiNodes,
  config: async () => (await import('./config.ts')).config,
  leave: async () => (await import('./leave.ts')).leave,
  run: async () => (await import('./run.ts')).run,
  prepare: async () => (await import('./prepare.ts')).prepare,
  sweep: async () => (await import('./sweep.ts')).sweep,
  rehearse: async () => (await import('./rehearse.ts')).rehearse,
  completion: async () => (await import('./completion.ts')).completion,
  version: async () => (await import('./version.ts')).version,
} satisfies Record<string, () => Promise<Verb>>

export type VerbName = keyof typeof verbs

export const isVerb = (name: string): name is VerbName => Object.hasOwn(verbs, name)
