// Where model files are and how they come there.
import { z } from 'zod'
import { duration, flag, text, textOr, whole } from './fields.ts'

export const modelsSlice = z.object({
  hfHome: text({
    env: 'HF_HOME',
    doc: '/data/huggingface where that is a mounted volume or holds a `hub` folder, else ~/.cache/huggingface',
  }),
  offline: flag({ env: 'HF_HUB_OFFLINE', doc: 'true: nothing is downloaded' }, false),
  token: text({ env: 'HF_TOKEN', aliases: ['HUGGING_FACE_HUB_TOKEN'], doc: 'Token of the model hub', secret: true }),
  endpoint: textOr({ env: 'HF_ENDPOINT', doc: 'Address of the model hub' }, 'https://huggingface.co'),
  volume: text({
    env: 'MODEL_VOLUME',
    doc: 'NVMe serial (volume id) or label of the data volume; it must be mounted before models load',
  }),
  volumeMount: textOr({ env: 'MODEL_VOLUME_MOUNT', doc: 'Where the data volume is mounted' }, '/data'),
  volumeTimeout: duration(
    {
      env: 'MODEL_VOLUME_TIMEOUT',
      doc: 'How long to wait for the data volume before saying that it is missing',
      shown: '60s',
    },
    60_000,
  ),
  readers: whole(
    { env: 'PARALLEL_READERS', doc: 'Parallel readers that warm the page cache; 0 switches it off' },
    { min: 0, max: 256, absent: 16 },
  ),
})

export type ModelsConfig = z.output<typeof modelsSlice>
