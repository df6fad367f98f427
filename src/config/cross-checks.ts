// What no single variable can tell: settings that need, contradict or shadow each other. Pure; each check is one sentence.
import { renderHost } from '../core/host-port.ts'
import type { Given } from './given.ts'
import { judgeControl } from './judge-control.ts'
import { checkPorts } from './port-checks.ts'
import type { Settings } from './schema.ts'

export type Checked = {
  severity: 'problem' | 'warning'
  /** Whose line it is. */
  variable: string
  /** Other variables that it rests on: where one of them is itself wrong, nothing is said. */
  about?: readonly string[]
  message: string
}

export type Check = (facts: { settings: Settings; given: Given }) => Iterable<Checked>

export const crossChecks: readonly Check[] = [
  checkIdentity,
  checkModel,
  checkRecord,
  checkTunnels,
  checkAdminPort,
  checkControl,
  checkMtls,
  checkTls,
  checkEnvFileName,
  checkPorts,
]

const problem = (variable: string, message: string, about: readonly string[] = []): Checked => ({
  severity: 'problem',
  variable,
  message,
  about,
})

const warning = (variable: string, message: string, about: readonly string[] = []): Checked => ({
  severity: 'warning',
  variable,
  message,
  about,
})

function* checkIdentity({ settings: { registration } }: Parameters<Check>[0]): Iterable<Checked> {
  const registered = registration.apiNodes.length > 0
  const about = ['API_NODES', 'CLIENT_ID']
  if (registered && !registration.clientId)
    yield problem(
      'CLIENT_ID',
      'is missing while API_NODES is set; write the four digits of this node, or remove API_NODES',
      about,
    )
  if (!registered && registration.clientId)
    yield problem(
      'API_NODES',
      'is missing while CLIENT_ID is set; write host:port of the API nodes, or remove CLIENT_ID',
      about,
    )
}

function* checkModel({ settings: { registration, engine } }: Parameters<Check>[0]): Iterable<Checked> {
  if (registration.apiNodes.length === 0 || engine.model) return
  const about = ['API_NODES', 'REGISTRATION_JSON', 'INFERENCE_NODE']
  if (registration.json) {
    if (engine.inferenceNode)
      yield warning(
        'MODEL_NAME',
        'is not set, so no model is launched at boot; write the name that REGISTRATION_JSON has',
        about,
      )
  } else if (engine.inferenceNode)
    yield problem(
      'MODEL_NAME',
      'is missing while API_NODES is set; write the model that this node serves, or INFERENCE_NODE=false',
      about,
    )
  else
    yield warning(
      'MODEL_NAME',
      'is not set, and API nodes refuse a registration without a model; write it, or REGISTRATION_JSON',
      about,
    )
}

function* checkRecord({ settings: { registration, engine } }: Parameters<Check>[0]): Iterable<Checked> {
  const models = registration.json?.['models']
  if (!models || !engine.model || Object.hasOwn(models, engine.model)) return
  const names = Object.keys(models).join(', ')
  yield warning(
    'REGISTRATION_JSON',
    `registers ${names}, while MODEL_NAME is ${engine.model}: API nodes will order the former; write the same name in both`,
    ['MODEL_NAME'],
  )
}

function* checkTunnels({ settings: { registration, tunnels } }: Parameters<Check>[0]): Iterable<Checked> {
  if (tunnels.servers.length === 0 || registration.clientId) return
  // With API_NODES set the same line is missing for a reason that was told already.
  if (registration.apiNodes.length > 0) return
  yield problem(
    'FRP_SERVERS',
    'needs CLIENT_ID, which makes the remote ports; write CLIENT_ID and API_NODES, or remove it',
    ['CLIENT_ID', 'API_NODES'],
  )
}

/** The README of the old scripts showed 5000, which is a node's inference port (P25). */
function* checkAdminPort({ settings: { registration } }: Parameters<Check>[0]): Iterable<Checked> {
  const odd = registration.apiNodes.find((one) => one.port === 5000)
  if (odd)
    yield warning(
      'API_NODES',
      `has port 5000 for ${renderHost(odd.host)}, the inference port of nodes; write the admin port, 9200 unless mapped`,
    )
}

function* checkControl({ settings: { listeners } }: Parameters<Check>[0]): Iterable<Checked> {
  const refused = judgeControl(listeners)
  if (refused)
    yield warning('HOST', `${refused}; write VLLM_ACCESS_KEY too, or HOST=127.0.0.1`, [
      'VLLM_ACCESS_KEY',
      'VLLM_ACCESS_KEY_FILE',
    ])
}

function* checkMtls({ settings: { poc } }: Parameters<Check>[0]): Iterable<Checked> {
  const about = ['MLNODE_MTLS_CLIENT_CERT', 'MLNODE_MTLS_CLIENT_KEY']
  if (poc.mtlsClientCert && !poc.mtlsClientKey)
    yield problem(
      'MLNODE_MTLS_CLIENT_KEY',
      'is missing while MLNODE_MTLS_CLIENT_CERT is set; write the path of its key',
      about,
    )
  if (!poc.mtlsClientCert && poc.mtlsClientKey)
    yield problem(
      'MLNODE_MTLS_CLIENT_CERT',
      'is missing while MLNODE_MTLS_CLIENT_KEY is set; write the path of its certificate',
      about,
    )
}

function* checkTls({ settings: { listeners } }: Parameters<Check>[0]): Iterable<Checked> {
  const { tlsCert, tlsKey } = listeners
  const about = ['CONTROL_TLS_CERT', 'CONTROL_TLS_KEY']
  if (tlsCert && !tlsKey)
    yield problem('CONTROL_TLS_KEY', 'is missing while CONTROL_TLS_CERT is set; write the path of its key', about)
  if (!tlsCert && tlsKey)
    yield problem(
      'CONTROL_TLS_CERT',
      'is missing while CONTROL_TLS_KEY is set; write the path of its certificate',
      about,
    )
}

function* checkEnvFileName({ given }: Parameters<Check>[0]): Iterable<Checked> {
  if (given.get('GONKA_ENV_FILE')?.origin.kind === 'file')
    yield warning('GONKA_ENV_FILE', 'is read from the process environment alone; remove it here')
}
