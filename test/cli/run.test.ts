// The daemon's process as whoever starts it by hand sees it.
import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { ask } from '../../src/cli/socket-client.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { tempDir } from '../support/temp-dir.ts'

test('a reader of its output that leaves takes nothing from the daemon, not even over a restart', async () => {
  const folder = await tempDir()
  const names = ['NODE_PORT', 'INFERENCE_PORT', 'PORT', 'VLLM_GRPC_PORT']
  const ports = await Promise.all(names.map(async (name) => [name, String(await freePort())] as const))
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/bin.ts'), 'run'], {
    env: {
      PATH,
      HOME,
      GONKA_ENV_FILE: join(folder, 'node.env'),
      STATE_DIRECTORY: join(folder, 'state'),
      RUNTIME_DIRECTORY: join(folder, 'run'),
      LOG_DIR: join(folder, 'log'),
      HF_HOME: join(folder, 'hf'),
      AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1',
      ...Object.fromEntries(ports),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stdout.resume()
  child.stderr.resume()
  const config = async () => {
    const { parts } = await ask<NodeStatus>(join(folder, 'run', 'control.sock'), 'GET /status')
    return parts.find(({ name }) => name === 'config')
  }
  await eventually('it waits for its file', async () => (await config())?.health === 'starting', 30_000)
  child.stdout.destroy()
  child.stderr.destroy()
  await writeFile(
    join(folder, 'node.env'),
    'API_NODES=127.0.0.1:1\nCLIENT_ID=0042\nINFERENCE_NODE=false\nMODEL_NAME=a/b\n',
  )
  await eventually('it has started again', async () => (await config())?.health === 'ok', 30_000)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
})
