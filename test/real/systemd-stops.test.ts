// Ends of a node on real systemd: what a stop waits for, what it leaves behind, and a second daemon on the same state.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bootNode, eventuallyInside, type NodeBed } from '../support/node-bed.ts'
import { bringNodeImage } from '../support/node-image.ts'
import { describeWith, provide } from '../support/real.ts'

// A busy machine makes all of it slow.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const provided = await provide('systemd in a container', bringNodeImage)

describeWith('a node under systemd that is stopped', provided, (image) => {
  let bed: NodeBed
  beforeAll(async () => {
    bed = await bootNode('stops', image, { configured: true })
    await bed.untilServing()
  })
  afterAll(() => bed?.[Symbol.asyncDispose]())
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.error(await bed.journal())))

  const nothingOfUs = async () => {
    expect(await bed.sh('pgrep -u gonka -a || true')).toBe('')
    expect(await bed.sh('curl -s -m 2 -o /dev/null http://127.0.0.1:5000/health; echo $?')).toBe('7\n')
  }

  test('systemctl stop leaves no process and a refusing port, and the answer that runs is ended whole, also beyond TimeoutStopSec=', async () => {
    await bed.writeDropIn('stop', 'TimeoutStopSec=6')
    // 3000 tokens at 5 ms each, and what a busy machine adds.
    const messages = [{ role: 'user', content: 'a' }]
    const body = JSON.stringify({ model: image.model, stream: true, max_tokens: 3000, messages })
    const chat = `curl -sN http://127.0.0.1:5000/v1/chat/completions -H 'content-type: application/json' -d '${body}'`
    await bed.sh(`${chat} > /root/stream 2>&1 &`)
    await eventuallyInside('it streams', async () => (await bed.sh('head -c 5 /root/stream')) === 'data:')
    const began = Date.now()
    await bed.sh('systemctl stop gonka-node')
    expect(Date.now() - began).toBeGreaterThan(6000)
    expect(await bed.sh('tail -c 16 /root/stream')).toContain('[DONE]')
    expect(await bed.show('Result')).toBe('success')
    await nothingOfUs()
    expect(await bed.sh('ls /dev/shm /var/lib/gonka-node/engines')).not.toMatch(/psm_|engine-\d/)
  })

  test('a second daemon waits for the end of the first, says so, and is not started again and again', async () => {
    const folders = 'STATE_DIRECTORY=/var/lib/gonka-node RUNTIME_DIRECTORY=/run/gonka-by-hand HOME=/var/lib/gonka-node'
    await bed.sh('install -d -o gonka /run/gonka-by-hand')
    await bed.sh(`setsid runuser -u gonka -- env ${folders} gonka-node run > /root/by-hand 2>&1 & echo $! > /root/pid`)
    const socket = '/run/gonka-by-hand/control.sock'
    await eventuallyInside('the first one runs', () => bed.sh(`curl -sf --unix-socket ${socket} http://node/status`))
    await bed.sh('systemctl start --no-block gonka-node')
    await eventuallyInside('systemd knows', async () =>
      /waits: state folder .* is in use by gonka-node with pid \d+/.test(await bed.show('StatusText')),
    )
    const main = await bed.show('MainPID')
    await bed.sh(`kill -TERM $(pgrep -u gonka -f 'gonka-node run|bin.ts run' | grep -vx ${main})`)
    await eventuallyInside('it is ready', async () => (await bed.show('SubState')) === 'running')
    expect([await bed.show('MainPID'), await bed.show('NRestarts')]).toEqual([main, '0'])
    await bed.untilServing()
  })

  test('a stop while the daemon crash-loops sweeps the engines that it left', async () => {
    await bed.writeDropIn('broken', 'ExecStart=\\nExecStart=/bin/false')
    await bed.sh('kill -9 $(systemctl show -P MainPID gonka-node)')
    await eventuallyInside('it crash-loops', async () => Number(await bed.show('NRestarts')) >= 2)
    expect(await bed.sh('pgrep -u gonka -f EngineCore | wc -l')).toBe('2\n')
    await bed.sh('systemctl stop gonka-node')
    await nothingOfUs()
  })
})
