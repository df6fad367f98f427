// The version of this program, from its own package.json (one folder above src/ and dist/ alike).
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export function readVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
