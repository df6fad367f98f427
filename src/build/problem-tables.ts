// Every problem that the node can show: the tables of all parts under the names that README gives them.
import { apiNodeProblems } from '../api-nodes/problems.ts'
import { configProblems } from '../config/problems.ts'
import { controlProblems } from '../control/problems.ts'
import { engineProblems } from '../engine/problems.ts'
import { fleetProblems } from '../fleet/problems.ts'
import { gpuProblems } from '../gpu/problems.ts'
import { grpcProblems } from '../grpc/problems.ts'
import { hostProblems } from '../host/problems.ts'
import { httpProblems } from '../http/problems.ts'
import { modelProblems } from '../models/problems.ts'
import { pocProblems } from '../poc/problems.ts'
import { tunnelProblems } from '../tunnel/problems.ts'

type ProblemTable = Readonly<Record<string, { title: string; remedy: string }>>

/** By folder, in boot order. */
export const problemTables: Readonly<Record<string, { title: string; problems: ProblemTable }>> = {
  config: { title: 'Configuration', problems: configProblems },
  host: { title: 'The machine and its cloud', problems: hostProblems },
  gpu: { title: 'GPUs', problems: gpuProblems },
  models: { title: 'Model files and their volume', problems: modelProblems },
  engine: { title: 'One engine', problems: engineProblems },
  fleet: { title: 'All engines together', problems: fleetProblems },
  http: { title: 'Listeners', problems: httpProblems },
  control: { title: 'Control listener and socket', problems: controlProblems },
  grpc: { title: 'gRPC listener', problems: grpcProblems },
  tunnel: { title: 'Tunnels', problems: tunnelProblems },
  'api-nodes': { title: 'API nodes', problems: apiNodeProblems },
  poc: { title: 'PoC', problems: pocProblems },
}
