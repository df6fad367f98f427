// Which ports answer, where, and who may call (DESIGN.md section 1).
import { z } from 'zod'
import { choice, file, flag, host, hostNames, hostOr, port, secret, textOr } from './fields.ts'

export const listenersSlice = z.object({
  nodePort: port({ env: 'NODE_PORT', doc: 'MLNode API' }, 8080),
  inferencePort: port({ env: 'INFERENCE_PORT', doc: 'Inference; engines take the next ports on loopback' }, 5000),
  nodeBind: host({
    env: 'NODE_BIND',
    doc: 'Where both bind: loopback with FRP_SERVERS, all addresses without, where not set',
  }),
  controlHost: hostOr(
    {
      env: 'HOST',
      aliases: ['VLLM_BOOTSTRAP_HOST'],
      doc: 'Where the control listener binds; other than loopback only with VLLM_ACCESS_KEY or VLLM_ACCESS_KEY_FILE',
    },
    '127.0.0.1',
  ),
  controlPort: port({ env: 'PORT', aliases: ['VLLM_BOOTSTRAP_PORT'], doc: 'Control listener' }, 8000),
  accessKey: secret({ env: 'VLLM_ACCESS_KEY', doc: 'Key of the control surfaces (REST and gRPC)' }),
  accessKeyFile: file({
    env: 'VLLM_ACCESS_KEY_FILE',
    doc: 'More keys, one per line, in a file that others cannot read; read again when it changes',
  }),
  tlsCert: file({
    env: 'CONTROL_TLS_CERT',
    doc: 'Certificate chain in PEM: the control surfaces speak TLS; read again when it changes',
  }),
  tlsKey: file({ env: 'CONTROL_TLS_KEY', doc: 'Key of CONTROL_TLS_CERT' }),
  allowedHosts: hostNames({
    env: 'CONTROL_ALLOWED_HOSTS',
    doc: 'More host names, comma separated, under which the control listener may be called. On loopback others than localhost are refused (DNS rebinding); elsewhere all are taken where none is named here',
  }),
  safeKwargsOnly: flag(
    {
      env: 'CONTROL_SAFE_KWARGS_ONLY',
      doc: 'true: launches take only extra_kwargs that neither load code nor read files of this machine',
    },
    false,
  ),
  buildSha: textOr({ env: 'BUILD_SHA', doc: 'build_sha in /version of the control listener' }, 'dev'),
  buildTime: textOr({ env: 'BUILD_TIME', doc: 'build_time in /version of the control listener' }, 'dev'),
  metrics: choice(
    { env: 'GONKA_METRICS', doc: 'off: /api/v1/metrics answers 404', shown: 'full' },
    ['full', 'off'],
    'full',
  ),
})

export type ListenersConfig = z.output<typeof listenersSlice>
