// `postpack`: our own manifest comes back.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')
const kept = join(root, 'dist', 'package.json.ours')

if (existsSync(kept)) {
  writeFileSync(join(root, 'package.json'), readFileSync(kept))
  rmSync(kept)
}
