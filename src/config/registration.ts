// Who we are at the API nodes and how they reach us (contracts/api-nodes.md 3.3, environment.md 4.11).
import { z } from 'zod'
import { flag, host, hostPorts, jsonObject, optionalWhole, pattern, patternOr, text, textOr, whole } from './fields.ts'
import { checkRegistration } from './registration-json.ts'

export const registrationSlice = z.object({
  apiNodes: hostPorts({
    env: 'API_NODES',
    aliases: ['API_NODE'],
    doc: 'Admin addresses of the API nodes, comma separated host:port (admin port is 9200 unless mapped)',
  }),
  clientId: pattern(
    { env: 'CLIENT_ID', doc: 'Four digits, not 0000; tunnels use remote ports 1NNNN and 2NNNN' },
    /^(?!0000)\d{4}$/,
    'must be four digits and not 0000; write for example 0042',
  ),
  nodeId: text({ env: 'NODE_ID', doc: 'Id registered at the API nodes; CLIENT_ID where not set' }),
  idPrefix: textOr({ env: 'ID_PREFIX', doc: 'Put before the registered id' }, ''),
  nodeHost: host({
    env: 'NODE_HOST',
    doc: 'Host announced to the API nodes instead of `frps` (with tunnels) or of our own address (without)',
  }),
  endpoint: patternOr({ env: 'REGISTRATION_ENDPOINT', doc: 'Path of the node API at an API node' }, '/admin/v1/nodes', {
    form: /^\/[^\s?#]*$/,
    remedy: 'is not a path; write for example /admin/v1/nodes',
  }),
  json: jsonObject(
    { env: 'REGISTRATION_JSON', doc: 'Registration body sent instead of the built one, its values kept' },
    checkRegistration,
  ),
  maxConcurrent: whole(
    { env: 'MAX_CONCURRENT', doc: 'max_concurrent in the registration' },
    { min: 1, max: 1_000_000, absent: 500 },
  ),
  gpuType: text({ env: 'GPU_TYPE', doc: 'Hardware type registered; the name that nvidia-smi gives where not set' }),
  numGpus: optionalWhole(
    { env: 'NUM_GPUS', doc: 'Hardware count registered; what nvidia-smi counts where not set' },
    { min: 1, max: 1024 },
  ),
  pocNode: flag(
    {
      env: 'POC_NODE',
      doc: 'false: never start PoC by ourselves; the PoC calls of the broker are served all the same',
    },
    true,
  ),
  pocCallbackRelay: flag(
    {
      env: 'POC_CALLBACK_RELAY',
      doc: 'true: PoC batches go to the API node through the node listener, so that lost ones are noticed; false: directly',
    },
    true,
  ),
})

export type RegistrationConfig = z.output<typeof registrationSlice>
