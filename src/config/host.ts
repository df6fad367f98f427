// Folders, programs and addresses of this machine. Every one is a value, so that tests and rehearsals bring their own.
import { z } from 'zod'
import { choice, folderOr, patternOr, systemdFolder, text, textOr } from './fields.ts'

export const hostSlice = z.object({
  envFile: folderOr(
    {
      env: 'GONKA_ENV_FILE',
      doc: 'The env file, read from the process environment alone; files *.env in the folder of that name with .d added count after it',
    },
    '/etc/gonka-container.env',
  ),
  stateDir: systemdFolder({ env: 'STATE_DIRECTORY', doc: 'State of the daemon' }, '/var/lib/gonka-node'),
  runDir: systemdFolder({ env: 'RUNTIME_DIRECTORY', doc: 'Folder of control.sock' }, '/run/gonka-node'),
  logDir: folderOr(
    { env: 'LOG_DIR', doc: 'Logs of the engines; the folder that the CloudWatch agent ships' },
    '/var/log/vllm-poc',
  ),
  logLevel: choice(
    { env: 'GONKA_LOG_LEVEL', doc: 'Log level of the daemon: debug, info, warn, error', shown: 'info' },
    ['debug', 'info', 'warn', 'error'],
    'info',
  ),
  nvidiaSmi: textOr({ env: 'NVIDIA_SMI_PATH', doc: 'The nvidia-smi program' }, 'nvidia-smi'),
  metadataUrl: patternOr(
    { env: 'AWS_EC2_METADATA_SERVICE_ENDPOINT', doc: 'EC2 instance metadata service; `off` where there is none' },
    'http://169.254.169.254',
    { form: /^(off|https?:\/\/[^\s/]\S*)$/, remedy: 'is not an address; write http://169.254.169.254 or off' },
  ),
  visibleGpus: text({ env: 'CUDA_VISIBLE_DEVICES', doc: 'GPUs that we may use, comma separated; all where not set' }),
})

export type HostConfig = z.output<typeof hostSlice>
