// What tells this machine from a copy of its disk, without a network: a configuration kept on an image must not make a
// second node of the same CLIENT_ID.
import { readFile } from 'node:fs/promises'

/** The EC2 instance id where the firmware tells it (readable by everybody on Nitro), else the machine id, else ''. */
export async function readMachineMark(): Promise<string> {
  const [tag, id] = await Promise.all([read('/sys/class/dmi/id/board_asset_tag'), read('/etc/machine-id')])
  return /^i-[0-9a-f]{8,}$/.test(tag) ? tag : id
}

const read = (path: string) =>
  readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => '',
  )
