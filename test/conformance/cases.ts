// All cases in the order in which they are run: first what starts nothing, then single launches, then two that serve.
import { accessCases } from './cases-access.ts'
import { clientCases } from './cases-client.ts'
import { defectCases } from './cases-defects.ts'
import { environmentCases } from './cases-environment.ts'
import { grpcCases } from './cases-grpc.ts'
import { grpcStateCases } from './cases-grpc-states.ts'
import { launchCases } from './cases-launch.ts'
import { restCases } from './cases-rest.ts'
import { statsCases } from './cases-stats.ts'
import { validationCases } from './cases-validation.ts'
import type { Case } from './case.ts'

const sharesLaunches = ({ of, shares }: Case) => shares ?? of === 'A1.8'

const all = [
  ...accessCases,
  ...restCases,
  ...validationCases,
  ...statsCases,
  ...launchCases,
  ...environmentCases,
  ...clientCases,
  ...defectCases,
  ...grpcStateCases,
  ...grpcCases,
]

export const cases: readonly Case[] = [
  ...all.filter((one) => !sharesLaunches(one)),
  ...all.filter((one) => sharesLaunches(one)),
]
