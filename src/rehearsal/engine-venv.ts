// A vLLM environment in miniature: a `bin/python` that is the rehearsal engine, and the files by which profiles are told apart.
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Generation } from './engine-knobs.ts'
import { versionOf } from './engine-stages.ts'

/** @returns the path of its python; `generation` decides which packages seem to be installed */
export async function writeVenv(folder: string, generation: Generation): Promise<string> {
  const site = join(folder, 'lib/python3.12/site-packages')
  const info = join(site, `vllm-${versionOf(generation)}.dist-info`)
  await mkdir(info, { recursive: true })
  await writeFile(join(info, 'METADATA'), `Metadata-Version: 2.4\nName: vllm\nVersion: ${versionOf(generation)}\n`)
  await mkdir(join(site, 'vllm', ...(generation.endsWith('overlay') ? ['poc'] : [])), { recursive: true })
  await writeFile(join(site, 'vllm/__init__.py'), '')
  if (generation.endsWith('overlay')) await writeFile(join(site, 'vllm/poc/routes.py'), '')
  if (generation === 'plugin') await writePlugin(site)
  await writeFile(join(folder, 'pyvenv.cfg'), 'version = 3.12.11\n')
  return writePython(folder, generation)
}

async function writePlugin(site: string): Promise<void> {
  const info = join(site, 'gonka_poc-0.1.0a0.dist-info')
  await mkdir(info, { recursive: true })
  await writeFile(join(info, 'METADATA'), 'Metadata-Version: 2.4\nName: gonka-poc\nVersion: 0.1.0a0\n')
  await writeFile(join(info, 'entry_points.txt'), '[vllm.general_plugins]\ngonka_poc = gonka_poc.plugin:register\n')
  await mkdir(join(site, 'gonka_poc'), { recursive: true })
  await writeFile(join(site, 'gonka_poc/__init__.py'), '')
}

/** A shell script, because the `node` on PATH may be another one than ours. */
async function writePython(folder: string, generation: Generation): Promise<string> {
  const path = join(folder, 'bin/python')
  const engine = join(import.meta.dirname, 'engine.ts')
  await mkdir(join(folder, 'bin'), { recursive: true })
  const env = `REHEARSAL_GENERATION="\${REHEARSAL_GENERATION:-${generation}}"`
  await writeFile(path, `#!/bin/sh\n${env} exec '${process.execPath}' '${engine}' "$@"\n`)
  await chmod(path, 0o755)
  return path
}
