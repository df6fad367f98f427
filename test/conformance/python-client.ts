// Brings the published Python client of the old service into the ignored folder, with venv and pip.
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bringPackages, cacheFolder, onlyOne, provide } from '../support/real.ts'

const run = promisify(execFile)

export const clientVersion = '0.2.10'
const wanted = [
  `vllm-bootstrap-client==${clientVersion}`,
  'grpcio==1.85.1',
  'httpx==0.28.1',
  'protobuf==7.36.2',
  'pydantic==2.14.3',
]
const pythons = ['python3.11', 'python3.12', 'python3.13', 'python3.14', 'python3']
const usable = 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'

/** The Python of an environment that has it. Some 20 MB come from the package index where it is not there yet. */
export const providePythonClient = () =>
  provide(`vllm-bootstrap-client ${clientVersion}`, async (): Promise<string> => {
    const proof = pythons.map((name) => `${name} -c '${usable}' 2>/dev/null`).join(' || ')
    await bringPackages({ 'python3 python3-venv': proof })
    return onlyOne('python-client', bringClient)
  })

async function bringClient(): Promise<string> {
  const folder = join(cacheFolder, 'python-client')
  const python = join(folder, 'bin', 'python')
  const marker = join(folder, 'marker')
  const content = `${wanted.join('\n')}\n`
  if ((await readFile(marker, 'utf8').catch(() => '')) === content) return python
  const half = `${folder}.half`
  await mkdir(cacheFolder, { recursive: true })
  await rm(half, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
  await run(await pickPython(), ['-m', 'venv', half], { timeout: 120_000 })
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...wanted]
  await run(join(half, 'bin', 'python'), install, { timeout: 300_000 }).catch((error: Error & { stderr?: string }) => {
    throw new Error(error.stderr?.trim() || error.message, { cause: error })
  })
  await writeFile(join(half, 'marker'), content)
  await rename(half, folder)
  return python
}

async function pickPython(): Promise<string> {
  for (const name of pythons) {
    const fits = await run(name, ['-c', usable]).then(
      () => true,
      () => false,
    )
    if (fits) return name
  }
  throw new Error('needs Python 3.11 to 3.14 with venv')
}
