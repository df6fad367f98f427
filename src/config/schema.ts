// The whole configuration: one slice per part, each in its own file. The types of the daemon follow from here.
import { z } from 'zod'
import { engineSlice } from './engine.ts'
import { hostSlice } from './host.ts'
import { launchesSlice } from './launches.ts'
import { listenersSlice } from './listeners.ts'
import { modelsSlice } from './models.ts'
import { pocSlice } from './poc.ts'
import { registrationSlice } from './registration.ts'
import { tunnelsSlice } from './tunnels.ts'

export const slices = {
  registration: registrationSlice,
  tunnels: tunnelsSlice,
  engine: engineSlice,
  models: modelsSlice,
  poc: pocSlice,
  listeners: listenersSlice,
  launches: launchesSlice,
  host: hostSlice,
} as const

export type Settings = { [S in keyof typeof slices]: z.output<(typeof slices)[S]> }

/** What every part gets: the settings, and the variables that go on to engines as they are (POC_*, NCCL_*, VLLM_*, …). */
export type Config = Settings & { readonly engineEnv: Readonly<Record<string, string>> }
