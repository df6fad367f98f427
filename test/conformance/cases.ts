// All cases in the order in which they are run: first what starts nothing, then single launches, then two that serve.
import { accessCases } from './cases-access.ts'
import { defectCases } from './cases-defects.ts'
import { grpcCases } from './cases-grpc.ts'
import { launchCases } from './cases-launch.ts'
import { restCases } from './cases-rest.ts'
import { statsCases } from './cases-stats.ts'
import type { Case } from './case.ts'

const sharesLaunches = ({ of }: Case) => of === 'A1.6' || of === 'A1.8' || /^defect [578]$/.test(of)

const all = [...accessCases, ...restCases, ...statsCases, ...launchCases, ...defectCases, ...grpcCases]

export const cases: readonly Case[] = [
  ...all.filter((one) => !sharesLaunches(one)),
  ...all.filter((one) => sharesLaunches(one)),
]
