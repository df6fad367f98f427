// No two of our listeners on one port, and no listener on a port that an engine will take.
import type { Check, Checked } from './cross-checks.ts'

/** The largest machines have 16 GPUs: engines beyond that are only expected where INFERENCE_MAX_INSTANCES says so. */
const mostEngines = 16

export function* checkPorts({
  settings: { listeners, engine, launches },
  given,
}: Parameters<Check>[0]): Iterable<Checked> {
  const ports = [
    { variable: 'INFERENCE_PORT', port: listeners.inferencePort },
    { variable: 'NODE_PORT', port: listeners.nodePort },
    { variable: 'PORT', port: listeners.controlPort },
    ...(given.has('VLLM_GRPC_PORT') ? [{ variable: 'VLLM_GRPC_PORT', port: launches.grpcPort }] : []),
  ]
  const engines = given.has('INFERENCE_MAX_INSTANCES')
    ? engine.maxInstances
    : Math.min(engine.maxInstances, mostEngines)
  const first = listeners.inferencePort + 1
  const last = listeners.inferencePort + engines
  for (const [at, one] of ports.entries()) {
    const twin = ports.slice(0, at).find((other) => other.port === one.port)
    if (twin)
      yield problem(one.variable, twin.variable, `is ${one.port}, as ${twin.variable} is; write a port of its own`)
    else if (one.port >= first && one.port <= last)
      yield problem(
        one.variable,
        'INFERENCE_PORT',
        `is ${one.port}, within the ports of the engines (INFERENCE_PORT + 1 to + ${engines}: ${first} to ${last}); write another port, or lower INFERENCE_MAX_INSTANCES`,
      )
  }
  if (last > 65535)
    yield problem(
      'INFERENCE_PORT',
      'INFERENCE_MAX_INSTANCES',
      `leaves no ports for ${engines} engines above it; write one of at most ${65535 - engines}`,
    )
}

const problem = (variable: string, other: string, message: string): Checked => ({
  severity: 'problem',
  variable,
  about: [other, 'INFERENCE_MAX_INSTANCES'],
  message,
})
