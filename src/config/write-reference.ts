// `node src/config/write-reference.ts`: writes README's table of variables and the example env file anew.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { renderExample, replaceReference } from './reference.ts'

const root = join(import.meta.dirname, '../..')
const readme = join(root, 'README.md')

await writeFile(readme, replaceReference(await readFile(readme, 'utf8')))
await writeFile(join(root, 'systemd/gonka-container.env.example'), renderExample())
