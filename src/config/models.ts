// Where model files are and how they come there.
import { z } from 'zod'
import { duration, flag, folder, folderOr, patternOr, secret, text, whole } from './fields.ts'

export const modelsSlice = z.object({
  hfHome: folder({
    env: 'HF_HOME',
    doc: '/data/huggingface where that is a mounted volume or holds a `hub` folder, else ~/.cache/huggingface. Any folder will do: the unit opens it to the service',
  }),
  offline: flag({ env: 'HF_HUB_OFFLINE', doc: 'true: nothing is downloaded' }, false),
  token: secret({ env: 'HF_TOKEN', aliases: ['HUGGING_FACE_HUB_TOKEN'], doc: 'Token of the model hub' }),
  endpoint: patternOr({ env: 'HF_ENDPOINT', doc: 'Address of the model hub' }, 'https://huggingface.co', {
    form: /^https?:\/\/[^\s/]\S*$/,
    remedy: 'is not an http address; write for example https://huggingface.co',
  }),
  volume: text({
    env: 'MODEL_VOLUME',
    doc: 'NVMe serial (volume id) or label of the data volume; the unit mounts it, also when it is attached later, and no model loads before',
  }),
  volumeMount: folderOr({ env: 'MODEL_VOLUME_MOUNT', doc: 'Where the data volume is mounted' }, '/data'),
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
