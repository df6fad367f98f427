// Our record at an API node, from the configuration and never from an order (DESIGN.md D6). Pure; the same input gives the same bytes.
import type { RegistrationBody } from '../config/registration-json.ts'
import type { RegistrationConfig } from '../config/registration.ts'
import { renderHost } from '../core/host-port.ts'
import type { Hardware } from './hardware.ts'

export type RecordFacts = {
  /** The served name; undefined where none is configured (then only REGISTRATION_JSON can be sent). */
  model: string | undefined
  /** Registered arguments: those with which the configuration launches. */
  args: readonly string[]
  /** True with FRP_SERVERS: API nodes reach us at ports 1NNNN and 2NNNN of host `frps`. */
  tunnelled: boolean
  /** Of our own listeners. */
  ports: { inference: number; node: number }
}

/** ID_PREFIX + (NODE_ID or CLIENT_ID); that of REGISTRATION_JSON where it is set. */
export function toRegisteredId(config: RegistrationConfig): string {
  const given = config.json?.['id']
  return typeof given === 'string' ? given : `${config.idPrefix}${config.nodeId ?? config.clientId ?? ''}`
}

/**
 * @param ownAddress where this machine is reached without tunnels and NODE_HOST
 * @returns the body to POST, or undefined without a model. REGISTRATION_JSON comes back as it is.
 */
export function renderRecord(
  config: RegistrationConfig,
  facts: RecordFacts,
  seen: { ownAddress: string; hardware: Hardware[] | undefined },
): RegistrationBody | undefined {
  if (config.json) return config.json as RegistrationBody
  if (!facts.model) return undefined
  const ports = facts.tunnelled
    ? { inference: Number(`1${config.clientId}`), node: Number(`2${config.clientId}`) }
    : facts.ports
  return {
    id: toRegisteredId(config),
    host: renderHost(config.nodeHost ?? (facts.tunnelled ? 'frps' : seen.ownAddress)),
    inference_port: ports.inference,
    inference_segment: '',
    poc_port: ports.node,
    poc_segment: '',
    max_concurrent: config.maxConcurrent,
    models: { [facts.model]: { args: [...facts.args] } },
    ...(seen.hardware && { hardware: seen.hardware }),
  }
}

/** Whether the record holds the address of this machine as this API node's network sees it. */
export function needsOwnAddress(config: RegistrationConfig, facts: RecordFacts): boolean {
  return !config.json && !config.nodeHost && !facts.tunnelled
}

/** Where we told the API node to reach us, for status. */
export function describeAnnounced(body: RegistrationBody): string {
  return body.base_url ?? `${body.host}:${body.inference_port} ${body.host}:${body.poc_port}`
}
