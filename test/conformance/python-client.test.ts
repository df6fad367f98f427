// The published Python client drives the daemon by base URL alone: every one of its methods.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { describeWith } from '../support/real.ts'
import { model } from '../machine/asks.ts'
import { accessKey, startLaunchWorld } from './launch-world.ts'
import { clientVersion, providePythonClient } from './python-client.ts'

const steps = [
  'launch',
  'list_launches',
  'status',
  'wait_until_ready',
  'logs',
  'stats',
  'complete',
  'complete_stream',
  'guided decoding',
  'stop',
  'wait_until_ready of a stopped launch',
  'embed',
  'embed_stream',
  'run',
  'errors',
  'run that fails, and a wait that ends',
  'limit_response',
]

describeWith(`vllm-bootstrap-client ${clientVersion}`, await providePythonClient(), (python) => {
  test(
    'launches, waits, completes, embeds, streams, reads logs and stats, stops, and raises what goes wrong as ever',
    { timeout: 180_000 },
    async () => {
      const { url } = await startLaunchWorld()
      const program = join(import.meta.dirname, 'python_client.py')
      const { stdout } = await promisify(execFile)(python, [program, url, accessKey, model], { timeout: 170_000 })
      expect(stdout.trim().split('\n').toSorted()).toEqual(steps.toSorted())
    },
  )
})
