// `npm run reference`: writes the generated blocks of README and the example env file anew.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { renderExample } from '../config/reference.ts'
import { referenceBlocks, replaceBlock } from './reference.ts'

const root = join(import.meta.dirname, '../..')
const readme = join(root, 'README.md')

const blocks = Object.entries(await referenceBlocks())
const before = await readFile(readme, 'utf8')
await writeFile(
  readme,
  blocks.reduce((text, [name, block]) => replaceBlock(text, name, block), before),
)
await writeFile(join(root, 'systemd/gonka-container.env.example'), renderExample())
