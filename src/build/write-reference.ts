// `npm run reference`: writes the generated blocks of README and the example env file anew.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { renderExample } from '../config/reference.ts'
import { referenceBlocks, replaceBlock } from './reference.ts'

const root = join(import.meta.dirname, '../..')
const readme = join(root, 'README.md')

let text = await readFile(readme, 'utf8')
for (const [name, block] of Object.entries(await referenceBlocks())) text = replaceBlock(text, name, block)
await writeFile(readme, text)
await writeFile(join(root, 'systemd/gonka-container.env.example'), renderExample())
