// A loaded node on real systemd: everything that ends a daemon, an engine or a tunnel, while callers go on asking.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bootNode, eventuallyInside, type NodeBed } from '../support/node-bed.ts'
import { bringNodeImage } from '../support/node-image.ts'
import { describeWith, provide } from '../support/real.ts'
import type { BadEnd, LoopResult } from '../support/request-loop.ts'

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
  async function underLoad(act: () => Promise<void>): Promise<{ result: LoopResult; over: number }> {
    await bed.untilServing()
    const [pids, main] = [await bed.engines(), await bed.show('MainPID')]
    const loop = await bed.startLoop()
    // Before and after the event, so that there is something to compare with. A busy machine gets few done.
    await loop.untilAnswered(4)
    await act()
    const over = Date.now()
    await eventuallyInside('another daemon', async () => !['0', main].includes(await bed.show('MainPID')))
    await eventuallyInside('it is ready', async () => (await bed.show('SubState')) === 'running')
    await bed.untilServing()
    await loop.untilAnswered(4)
    const result = await loop.stop()
    expect(await bed.engines()).toEqual(pids)
    return { result, over }
  }

  const restart = () => bed.sh('systemctl restart gonka-node').then(() => {})
  const killDaemon = () => bed.sh('kill -9 $(systemctl show -P MainPID gonka-node)').then(() => {})

  test('systemctl restart: the engines are adopted, no caller is refused, no request fails that was not being answered', async () => {
    const { result } = await underLoad(restart)
    expect(unbegun(result)).toEqual([])
  })

  test('kill -9 of the daemon: the engines are adopted, no caller is refused, only answers that had begun are lost', async () => {
    const { result, over } = await underLoad(killDaemon)
    expect(notCutBy(result, over)).toEqual([])
  })

  test(
    'an installation over a running node: the next daemon is the new release, callers notice nothing',
    { timeout: 240_000 },
    async () => {
      const { result } = await underLoad(async () => {
        await bed.sh(
          `cd /root && tar xzf ${bed.image.tarball} && cd gonka-node-*/ && echo next > RELEASE && ./install.sh --now`,
          // 300 MB are copied, and packed and unpacked by others at the same time.
          150_000,
        )
      })
      expect(unbegun(result)).toEqual([])
      expect(await bed.sh('readlink -f /proc/$(systemctl show -P MainPID gonka-node)/exe')).toContain('/releases/next/')
    },
  )

  test('a daemon that hangs is killed by the watchdog, and the next one takes over', async () => {
    await bed.writeDropIn('watchdog', 'WatchdogSec=2')
    await bed.sh('systemctl restart gonka-node')
    const { result, over } = await underLoad(() =>
      bed.sh('kill -STOP $(systemctl show -P MainPID gonka-node)').then(() => {}),
    )
    expect(notCutBy(result, over)).toEqual([])
    expect(await bed.sh('journalctl -u gonka-node --no-pager')).toContain('Watchdog timeout')
  })

  test.each([
    { of: 'its API server', slot: 1, victim: (pid: number) => String(pid), told: /^502 .*"type":"bad_gateway"/ },
    // vLLM says so itself, and exits 0.
    { of: 'its EngineCore', slot: 0, victim: (pid: number) => `$(pgrep -P ${pid})`, told: /^50[02] / },
  ])(
    'kill -9 of an engine, of $of: only what it was answering fails, in words; it is started again and nothing of it is left',
    async ({ slot, victim, told }) => {
      await bed.untilServing()
      const before = await bed.engines()
      const loop = await bed.startLoop()
      await loop.untilAnswered(4)
      await bed.sh(`kill -9 ${victim(before[slot] ?? 0)}`)
      const over = Date.now()
      await eventuallyInside('another engine', async () => (await bed.engines())[slot] !== before[slot])
      await bed.untilServing()
      await loop.untilAnswered(4)
      const result = await loop.stop()
      expect((await bed.engines())[1 - slot]).toBe(before[1 - slot])
      expect(await bed.sh('pgrep -u gonka -f EngineCore | wc -l')).toBe('2\n')
      // A stream that had begun is cut. What was handed to the engine before its death was known is one of these; everything
      // else is answered by the other engine.
      const isTold = ({ kind, stream }: BadEnd) =>
        stream && kind.startsWith('cut') ? true : told.test(kind) && inOpenAiShape.test(kind)
      expect(result.bad.filter((one) => !isTold(one) || one.at > over + 1000)).toEqual([])
      expect(result.bad.length).toBeLessThanOrEqual(2 * callers)
    },
  )

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

const callers = 4

const inOpenAiShape = /^(50\d) \{"error":\{"message":"[^"]+","type":"\w+","param":null,"code":\1\}\}$/

/**
 * What is not explained by the end of a daemon: each caller had at most one request with it, connected before and cut off.
 * Who came later waited for the next one, and nobody was refused.
 */
function notCutBy({ bad }: LoopResult, over: number): string[] {
  const isCut = ({ kind, at }: BadEnd) => at <= over && /^(cut: )?(ECONNRESET|socket hang up|aborted)/.test(kind)
  const others = bad.filter((one) => !isCut(one))
  const tooMany = bad.length > callers ? [`${bad.length} requests were cut off, of ${callers} callers`] : []
  return [...others.map(({ kind, at }) => `${kind}, asked ${at - over} ms after the end`), ...tooMany]
}

/** What failed before the first byte of an answer; a stream that outlasts the drain of a restart is cut. */
const unbegun = ({ bad }: LoopResult) =>
  bad.filter(({ kind }) => !kind.startsWith('cut')).map(({ kind, at, ended }) => `${kind} after ${ended - at} ms`)
