// The problems of the gRPC listener; README's table is made from these.
import { problemsOf } from '../core/problem.ts'

export const grpcProblems = {
  'grpc-refused': {
    title: 'the gRPC listener stays closed: it would be open to everybody',
    remedy: 'set VLLM_ACCESS_KEY or VLLM_ACCESS_KEY_FILE, or let HOST be 127.0.0.1',
  },
} as const

export const toGrpcProblem = problemsOf(grpcProblems)
