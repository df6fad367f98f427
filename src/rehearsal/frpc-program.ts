// Makes frpc and frps callable by path: a child of ours gets a bare environment, in which neither `node` nor a knob would be
// found, so both are written into a small launcher.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Writes `<folder>/<name>`, executable; `knobs` are REHEARSAL_* variables. Returns its path. */
export async function writeFrpProgram(
  folder: string,
  name: 'frpc' | 'frps',
  knobs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const path = join(folder, name)
  const exports = Object.entries(knobs).map(([key, value]) => `export ${key}=${quote(value)}\n`)
  const program = join(import.meta.dirname, `${name}.ts`)
  const text = `#!/bin/sh\n${exports.join('')}exec ${quote(process.execPath)} ${quote(program)} "$@"\n`
  await writeFile(path, text, { mode: 0o755 })
  return path
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
