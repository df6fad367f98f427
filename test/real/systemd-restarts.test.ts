// A loaded node on real systemd: everything that ends a daemon, an engine or a tunnel, while callers go on asking.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bootNode, eventuallyInside, type NodeBed } from '../support/node-bed.ts'
import { bringNodeImage } from '../support/node-image.ts'
import { describeWith, provide } from '../support/real.ts'
import type { LoopResult } from '../support/request-loop.ts'

// A busy machine makes all of it slow.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const provided = await provide('systemd in a container', bringNodeImage)

describeWith('a loaded node under systemd', provided, (image) => {
  let bed: NodeBed
  beforeAll(async () => {
    bed = await bootNode('restarts', image, { configured: true })
    await bed.untilServing()
    await eventuallyInside('registered', async () => (await bed.registered())?.state.current_status === 'INFERENCE')
  })
  afterAll(() => bed?.[Symbol.asyncDispose]())
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.error(await bed.journal())))

  /** Runs `act` under load and until the node serves again; every engine must be the one that it was. */
  async function underLoad(act: () => Promise<void>): Promise<{ result: LoopResult; from: number }> {
    await bed.untilServing()
    const [pids, main] = [await bed.engines(), await bed.show('MainPID')]
    const loop = await bed.startLoop()
    // Before and after the event, so that there is something to compare with. A busy machine gets few done.
    await loop.untilAnswered(4)
    const from = Date.now()
    await act()
    await eventuallyInside('another daemon', async () => !['0', main].includes(await bed.show('MainPID')))
    await eventuallyInside('it is ready', async () => (await bed.show('SubState')) === 'running')
    await bed.untilServing()
    await loop.untilAnswered(4)
    const result = await loop.stop()
    expect(await bed.engines()).toEqual(pids)
    return { result, from }
  }

  const restart = () => bed.sh('systemctl restart gonka-node').then(() => {})
  const killDaemon = () => bed.sh('kill -9 $(systemctl show -P MainPID gonka-node)').then(() => {})

  test('systemctl restart: the engines are adopted, no caller is refused, no request fails that was not being answered', async () => {
    const { result } = await underLoad(restart)
    expect(unbegun(result)).toEqual([])
  })

  test('kill -9 of the daemon: the engines are adopted, no caller is refused, only answers that had begun are lost', async () => {
    const { result, from } = await underLoad(killDaemon)
    expect(result.bad.filter(({ kind }) => /REFUSED|^\d/.test(kind))).toEqual([])
    // Whoever was connected at that moment is cut off: asked before, ended then.
    expect(result.bad.filter(({ at }) => at > from + 1000)).toEqual([])
    expect(result.bad.length).toBeLessThanOrEqual(8)
  })

  test('an installation over a running node: the next daemon is the new release, callers notice nothing', async () => {
    const { result } = await underLoad(async () => {
      await bed.sh(
        `cd /root && tar xzf ${bed.image.tarball} && cd gonka-node-*/ && echo next > RELEASE && ./install.sh --now`,
      )
    })
    expect(unbegun(result)).toEqual([])
    expect(await bed.sh('readlink -f /proc/$(systemctl show -P MainPID gonka-node)/exe')).toContain('/releases/next/')
  })

  test('a daemon that hangs is killed by the watchdog, and the next one takes over', async () => {
    await bed.writeDropIn('watchdog', 'WatchdogSec=2')
    await bed.sh('systemctl restart gonka-node')
    const { result } = await underLoad(() =>
      bed.sh('kill -STOP $(systemctl show -P MainPID gonka-node)').then(() => {}),
    )
    expect(result.bad.filter(({ kind }) => /REFUSED|^\d/.test(kind))).toEqual([])
    expect(await bed.sh('journalctl -u gonka-node --no-pager')).toContain('Watchdog timeout')
  })

  test('kill -9 of an engine: it is started again, nothing of it is left, the other one serves meanwhile', async () => {
    await bed.untilServing()
    const [first = 0, second = 0] = await bed.engines()
    const loop = await bed.startLoop()
    await loop.untilAnswered(4)
    await bed.sh(`kill -9 $(pgrep -P ${first})`)
    await eventuallyInside('another engine', async () => (await bed.engines())[0] !== first)
    await bed.untilServing()
    await loop.untilAnswered(4)
    const result = await loop.stop()
    expect((await bed.engines())[1]).toBe(second)
    expect(await bed.sh(`ps -o pid= -s ${first} || true`)).toBe('')
    expect(result.bad.filter(({ kind }) => /REFUSED/.test(kind))).toEqual([])
  })

  test('kill -9 of frpc: the tunnel is made again and carries requests, the engines stay', async () => {
    await bed.untilServing()
    const engines = await bed.engines()
    const pid = (await bed.sh('pgrep -u gonka -f "frpc.* -c /var/lib/gonka-node/frp/" | tail -1')).trim()
    await bed.sh(`kill -9 ${pid}`)
    const isProved = async () => {
      const again = (await bed.sh('pgrep -u gonka -f "frpc.* -c /var/lib/gonka-node/frp/" | tail -1 || true')).trim()
      const answer = await bed.sh(
        'curl -s -m 2 -o /dev/null -w "%{http_code}" http://127.0.0.1:20042/api/v1/state || true',
      )
      return again !== '' && again !== pid && answer === '200'
    }
    await eventuallyInside('another frpc carries requests', isProved)
    expect(await bed.engines()).toEqual(engines)
  })
})

/** What failed before the first byte of an answer; a stream that outlasts the drain of a restart is cut. */
const unbegun = ({ bad }: LoopResult) =>
  bad.filter(({ kind }) => !kind.startsWith('cut')).map(({ kind, at, ended }) => `${kind} after ${ended - at} ms`)
