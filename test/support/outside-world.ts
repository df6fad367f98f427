#!/usr/bin/env node
// The world around a container, as one program in its network: API node, frps, metadata service. One JSON line when all listen.
// Ends with its stdin.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startApiNode } from '../../src/rehearsal/api-node.ts'
import { startRehearsalMetadata } from '../../src/rehearsal/metadata.ts'

export const worldPorts = { admin: 9200, callbacks: 9100, control: 9300, metadata: 9400, frps: 7000 } as const

if (import.meta.main) {
  const { values } = parseArgs({
    options: { frps: { type: 'string' }, config: { type: 'string' }, model: { type: 'string' } },
  })
  const ours = [process.execPath, join(import.meta.dirname, '../../src/rehearsal/frps.ts')] as const
  const [program, ...first] = values.frps ? ([values.frps] as const) : ours
  const frps = spawn(program, [...first, '-c', values.config ?? ''], { stdio: 'ignore' })
  const metadata = await startRehearsalMetadata({ instanceId: 'i-0rehearsal0000000' }, worldPorts.metadata)
  const apiNode = await startApiNode({
    adminPort: worldPorts.admin,
    callbackPort: worldPorts.callbacks,
    controlPort: worldPorts.control,
    // A broker that looks every 3 s instead of every minute.
    scale: 0.05,
    version: 'v3.0.8',
    resolve: { frps: '127.0.0.1' },
    governance: { [values.model ?? '']: [] },
  })
  process.stdout.write(`${JSON.stringify({ pid: process.pid })}\n`)
  process.stdin.resume().once('end', () => {
    frps.kill('SIGKILL')
    void Promise.all([apiNode.end(), metadata.end()]).then(() => process.exit(0))
  })
}
