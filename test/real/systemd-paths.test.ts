// Paths of one's own on real systemd: a data volume that is attached late, caches on another disk, a Python in a home folder.
// Nothing of it is there at the boot: user-data writes the env file afterwards, for root alone.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bringLoopDisks, type LoopDisk, makeLoopDisk } from '../support/loop-disk.ts'
import { bootNode, envFile, eventuallyInside, type NodeBed } from '../support/node-bed.ts'
import { bringNodeImage } from '../support/node-image.ts'
import { describeWith, provide } from '../support/real.ts'

// A busy machine makes all of it slow.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const provided = await provide('systemd in a container, and loop devices', async () => {
  await bringLoopDisks()
  return bringNodeImage()
})

const label = 'gonka-models'
const settings = {
  HF_HOME: '/mnt/models/hf',
  MODEL_VOLUME: label,
  MODEL_VOLUME_MOUNT: '/mnt/models',
  MODEL_VOLUME_TIMEOUT: '1s',
  VLLM_CACHE_ROOT: '/opt/caches/vllm',
  VLLM_PYTHON_PATH: '/home/ubuntu/venv/bin/python',
}

describeWith('a node with paths of its own under systemd', provided, (image) => {
  let bed: NodeBed
  let [blank, good]: LoopDisk[] = []
  beforeAll(async () => {
    bed = await bootNode('paths', image, {})
    await bed.sh('mkdir -p -m 755 /home/ubuntu && cp -a /data/*/venv /home/ubuntu/')
    await bed.sh(
      'mkdir -p /root/volume/hf && mv /data/*/huggingface/hub /root/volume/hf/ && chmod -R a+rX /root/volume',
    )
    ;[blank, good] = [await makeLoopDisk(), await makeLoopDisk(`${bed.container.root}/root/volume`)]
  })
  afterAll(async () => {
    await bed?.[Symbol.asyncDispose]()
    for (const disk of [blank, good]) await disk?.[Symbol.asyncDispose]()
  })
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.error(await bed.journal())))

  const toEnv = (more: Record<string, string> = {}) => {
    const all = { ...settings, ...more }
    const kept = image.envText.split('\n').filter((line) => !Object.hasOwn(all, line.split('=')[0] ?? ''))
    return [...kept, ...Object.entries(all).map(([name, value]) => `${name}=${value}`), ''].join('\n')
  }
  const status = async () =>
    JSON.parse(await bed.sh('gonka-node status --json; :')) as {
      parts: { name: string; health: string; problem?: { code: string; evidence: string } }[]
    }
  const problemOf = async (part: string) => (await status()).parts.find(({ name }) => name === part)?.problem
  const restarts = async () => Number(await bed.show('NRestarts'))
  const asService = (line: string) =>
    bed.sh(
      `nsenter -t $(systemctl show -P MainPID gonka-node) -m -- setpriv --reuid=gonka --regid=gonka --clear-groups sh -c '${line}'`,
    )

  test('an env file that comes for root alone, between the privileged step and the daemon, starts the node once more, and is no wrong configuration', async () => {
    await bed.container.write('/root/env', toEnv(), 0o600)
    await bed.container.write('/root/late.sh', `[ -e /root/done ] || cp -p /root/env ${envFile}; touch /root/done\n`)
    await bed.writeDropIn('late', 'ExecStartPre=+/bin/sh /root/late.sh')
    await bed.sh('systemctl restart --no-block gonka-node')
    const isVolumeMissed = async () => (await problemOf('volume'))?.code === 'volume-missing'
    await eventuallyInside('it runs on that file, and misses its volume', isVolumeMissed)
    expect(await restarts()).toBe(1)
    expect(await bed.sh('journalctl -u gonka-node -o cat --no-pager')).not.toContain('status=78')
    expect(await bed.sh('ls -A /mnt')).not.toContain('hf')
    await bed.sh('rm /run/systemd/system/gonka-node.service.d/late.conf && systemctl daemon-reload')
  })

  test('a volume that appears later has the node start again, once: one that cannot be mounted is said', async () => {
    const before = await restarts()
    await blank?.attach(bed.container, label)
    await eventuallyInside('another daemon says it', async () => {
      return (await restarts()) > before && (await problemOf('volume'))?.code === 'volume-not-mounted'
    })
    // Its looks, one a second, find the same.
    const looks = 'journalctl -u gonka-node -o cat --no-pager | grep -c "data volume"'
    const main = await bed.show('MainPID')
    await bed.sh(`sleep 3; ${looks}`)
    expect([await restarts(), await bed.show('MainPID')]).toEqual([before + 1, main])
    expect(await bed.sh('journalctl -u gonka-node -o cat --no-pager')).toMatch(/prepare: .*cannot be mounted/)
  })

  test('a volume that can be mounted is: by the privileged step, and the model on it is served by the Python in the home folder', async () => {
    const before = await restarts()
    await good?.attach(bed.container, label)
    await bed.untilServing()
    expect(await restarts()).toBe(before + 1)
    expect(await bed.sh('findmnt -n -o SOURCE,FSTYPE /mnt/models')).toMatch(new RegExp(`^/dev/${good?.name} +ext4`))
    expect((await problemOf('volume'))?.code).toBeUndefined()
    expect(await bed.sh(`tr '\\0' '\\n' < /proc/$(pgrep -u gonka -f EngineCore | head -1)/environ`)).toContain(
      'VLLM_CACHE_ROOT=/opt/caches/vllm',
    )
  })

  test('what the settings name is open to the service, and little else', async () => {
    // The model is for everybody to read, and complete: nobody writes there.
    const isFine = async () => (await status()).parts.find(({ name }) => name === 'paths')?.health === 'ok'
    await eventuallyInside('all is well', isFine)
    await bed.sh('chown gonka /mnt/models/hf')
    await asService('touch /mnt/models/hf/x /mnt/models/vllm-cache/x /opt/caches/vllm/x /tmp/x /var/tmp/x')
    expect(await asService('ls /home/ubuntu/venv/bin')).toBe('python\n')
    await expect(asService('touch /opt/x')).rejects.toThrow('Read-only')
    await expect(asService('touch /home/ubuntu/x')).rejects.toThrow('Read-only')
    expect(await bed.sh('stat -c "%U %a" /opt/caches/vllm')).toBe('gonka 755\n')
    expect(await bed.show('ProtectHome')).toBe('read-only')
    expect(await bed.show('ReadWritePaths')).toMatch(/-\/mnt\/models -\/opt\/caches\/vllm$/)
    expect(await bed.sh('stat -c "%U %a" /var/lib/gonka-node-prepare/*')).toBe('root 600\n')
    // Called by hand in another unit, it makes and opens nothing there.
    await bed.sh('systemd-run -q --wait --unit=others.service gonka-node prepare')
    expect(await bed.sh('ls /run/systemd/system')).not.toContain('others.service.d')
  })

  test('with a bad edit, the paths of the last good configuration are open also after a boot, which empties /run', async () => {
    const engines = await bed.engines()
    await bed.writeEnv(toEnv({ CLIENT_ID: 'forty-two' }))
    await eventuallyInside('it is shown', async () => (await problemOf('config'))?.code === 'config-bad')
    const dropIns = '/run/systemd/system/gonka-node.service.d'
    await bed.sh(`rm -r ${dropIns} && systemctl daemon-reload && systemctl restart gonka-node`)
    expect(await bed.show('ProtectHome')).toBe('read-only')
    await asService('touch /opt/caches/vllm/y && ls /home/ubuntu/venv/bin')
    // They are adopted after the daemon is ready.
    await bed.untilServing()
    expect(await bed.engines()).toEqual(engines)
    await bed.writeEnv(toEnv())
    await eventuallyInside('put right', async () => (await problemOf('config')) === undefined)
  })

  test('a folder that still cannot be written is one problem: variable, line, path, and what to do', async () => {
    await bed.sh('install -d -m 755 /opt/theirs/cache; install -d -m 700 /home/theirs')
    await bed.writeEnv(toEnv({ VLLM_CACHE_ROOT: '/opt/theirs/cache', HF_MODULES_CACHE: '/home/theirs/modules' }))
    const found = await eventuallyInside('it is said', async () => problemOf('paths'))
    expect(found).toMatchObject({ code: 'path-unwritable' })
    const lines = (found as { evidence: string }).evidence.split('\n')
    expect(lines).toEqual([
      expect.stringMatching(
        /^VLLM_CACHE_ROOT \(\/etc\/gonka-container\.env:\d+\): \/opt\/theirs\/cache belongs to uid 0 with mode 755, we are gonka; `chown -R gonka \/opt\/theirs\/cache`, or name another folder$/,
      ),
      expect.stringMatching(
        /^HF_MODULES_CACHE \(.*:\d+\): \/home\/theirs\/modules is behind \/home\/theirs, which is closed to gonka; /,
      ),
    ])
    expect(await bed.sh('gonka-node status; echo "exit $?"')).toMatch(/VLLM_CACHE_ROOT[^]*exit 1\n$/)
    await bed.sh('chown -R gonka /opt/theirs/cache && chmod o+x /home/theirs && chmod 750 /home/ubuntu')
    await bed.sh('systemctl kill -s KILL --kill-who=all gonka-node')
    const fleet = await eventuallyInside('the Python is missed', async () => {
      const found = await problemOf('fleet')
      return found?.code === 'venv-missing' && found
    })
    expect((fleet as { evidence: string }).evidence).toMatch(/`chmod o\+x \/home\/ubuntu`/)
    await bed.sh('chmod 755 /home/ubuntu')
  })

  test('settings that name nothing unusual close all of it again', async () => {
    await bed.sh('systemctl stop gonka-node')
    await bed.writeEnv(image.envText)
    await bed.sh('mv /root/volume/hf/hub /data/*/huggingface/ && systemctl start gonka-node')
    await bed.untilServing()
    expect(await bed.show('ProtectHome')).toBe('yes')
    await expect(asService('ls /home/ubuntu')).rejects.toThrow('Permission denied')
  })
})
