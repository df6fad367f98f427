// An instance's boots on real systemd: without a configuration, with wrong ones, with user-data that is late, and again.
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { bootNode, envFile, eventuallyInside, type NodeBed } from '../support/node-bed.ts'
import { bringNodeImage } from '../support/node-image.ts'
import { describeWith, provide } from '../support/real.ts'

// A busy machine makes all of it slow.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const provided = await provide('systemd in a container', bringNodeImage)

/** cloud-init's last stage in its strictest order (facts: after multi-user.target); runs user-data where there is some. */
const cloudFinal = `[Unit]
After=multi-user.target network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/sh /root/user-data.sh
`

async function addCloudInit(root: string): Promise<void> {
  const units = join(root, 'etc/systemd/system')
  await mkdir(join(units, 'cloud-init.target.wants'), { recursive: true })
  await writeFile(join(units, 'cloud-final.service'), cloudFinal)
  await writeFile(join(units, 'cloud-init.target'), '[Unit]\nAfter=multi-user.target\n')
  await symlink('../cloud-final.service', join(units, 'cloud-init.target.wants/cloud-final.service'))
  await symlink('../cloud-init.target', join(units, 'multi-user.target.wants/cloud-init.target'))
}

describeWith('an instance that boots', provided, (image) => {
  let bed: NodeBed
  beforeAll(async () => {
    bed = await bootNode('boot', image, { before: addCloudInit })
  })
  afterAll(() => bed?.[Symbol.asyncDispose]())
  beforeEach(({ onTestFailed }) => onTestFailed(async () => console.error(await bed.journal())))

  const isRegistered = () =>
    eventuallyInside(
      'registered, and its broker content',
      async () => (await bed.registered())?.state.current_status === 'INFERENCE',
    )
  /** Loads so long that the broker looks in between. */
  const envText = () => `${bed.image.envText}REHEARSAL_LOAD_MS=5000\n`

  test('without a configuration the boot is done, and the node waits and says so', async () => {
    expect(await bed.sh('systemctl is-system-running')).toBe('running\n')
    expect(await bed.sh('systemctl is-enabled gonka-node.service vllm-poc.service')).toBe('enabled\nalias\n')
    expect(await bed.show('StatusText')).toBe(`starting: waiting for ${envFile}`)
    expect(await bed.sh('curl -s -o /dev/null -w "%{http_code}" http://127.0.0.1:8080/api/v1/state')).toBe('200')
    expect(await bed.sh('journalctl -u gonka-node -p warning -o cat --no-pager')).toMatch(
      /^\{[^\n]*waiting for the env file[^\n]*\n$/,
    )
  })

  test('what is usual needs nothing of its own: the unit is as installed', async () => {
    expect(await bed.show('DropInPaths')).toBe('')
    const main = '$(systemctl show -P MainPID gonka-node)'
    const asService = `nsenter -t ${main} -m -- setpriv --reuid=gonka --regid=gonka --clear-groups`
    expect(
      await bed.sh(`${asService} sh -c 'touch /tmp/x /var/tmp/x /dev/shm/x && rm /tmp/x /var/tmp/x /dev/shm/x'`),
    ).toBe('')
    await expect(bed.sh(`${asService} touch /opt/x`)).rejects.toThrow('Read-only')
  })

  test('the shells complete it: bash by its login profile or on demand, zsh among the functions of the site', async () => {
    const words = 'COMP_WORDS=(gonka-node engin); COMP_CWORD=1; _gonka_node; echo "${COMPREPLY[@]}"'
    expect(await bed.sh(`bash -lc '${words}'`)).toBe('engines\n')
    expect(await bed.sh(`bash -c '. /usr/share/bash-completion/completions/gonka-node; ${words}'`)).toBe('engines\n')
    expect(await bed.sh('head -1 /usr/local/share/zsh/site-functions/_gonka-node')).toBe('#compdef gonka-node\n')
    expect(await bed.sh('bash -lc "command -v gonka-node"')).toBe('/usr/bin/gonka-node\n')
  })

  test('prepare and sweep refuse without root, and have nothing to do where nobody asked for a stop', async () => {
    const outcome = (line: string) => bed.sh(`${line} 2>&1; echo "exit $?"`)
    const asGonka = 'setpriv --reuid=gonka --regid=gonka --clear-groups gonka-node'
    expect(await outcome(`${asGonka} prepare`)).toMatch(/needs root[^]*exit 2\n$/)
    expect(await outcome(`${asGonka} sweep --always`)).toMatch(/needs root[^]*exit 2\n$/)
    expect(await outcome('gonka-node prepare')).toBe('exit 0\n')
    expect(await outcome('gonka-node prepare --group nobodys')).toMatch(/no such group[^]*exit 0\n$/)
    expect(await outcome('gonka-node sweep')).toBe('exit 0\n')
    expect(await bed.show('SubState')).toBe('running')
  })

  test('a wrong configuration before there was a good one: exit 78, not tried again until the file changes', async () => {
    await bed.writeEnv('API_NODES=127.0.0.1:9200\nCLIENT_ID=forty-two\n')
    await eventuallyInside('the running node tells it', async () =>
      (await bed.show('StatusText')).includes('CLIENT_ID'),
    )
    await expect(bed.sh('systemctl restart gonka-node')).rejects.toThrow('gonka-node.service failed')
    const isWaiting = async () => (await bed.sh('systemctl is-active gonka-node-config.path || true')) === 'active\n'
    await eventuallyInside('waits for the file', isWaiting)
    expect([await bed.show('ExecMainStatus'), await bed.show('SubState'), await bed.show('NRestarts')]).toEqual([
      '78',
      'failed',
      '0',
    ])
    expect(await bed.sh('journalctl -u gonka-node -o cat --no-pager')).toMatch(/CLIENT_ID .*container\.env:2/)
    const tries = () => bed.show('InvocationID')
    const first = await tries()
    await bed.writeEnv('API_NODES=127.0.0.1:9200\nCLIENT_ID=forty-three\n')
    await eventuallyInside('tried once more', async () => (await tries()) !== first)
    await eventuallyInside('waits again', isWaiting)
    await bed.sh(`rm ${envFile}`)
  })

  test('user-data that writes the file late, root alone, and calls the old entry point: the node is registered through its tunnels', async () => {
    await bed.container.write('/root/env', envText(), 0o600)
    await bed.container.write(
      '/root/user-data.sh',
      `umask 077; cp /root/env ${envFile}; cd /; timeout 20 /usr/local/bin/start-vllm.sh > /root/said 2>&1; echo "ended $?" >> /root/said\n`,
    )
    await bed.container.reboot()
    expect(await bed.sh('cat /root/said')).toMatch(/gonka-node\.service does this now[^]*ended 0\n$/)
    await isRegistered()
    expect(await bed.sh(`stat -c "%a %U %G" ${envFile}`)).toBe('640 root gonka\n')
    expect(await bed.sh('curl -s http://127.0.0.1:10042/v1/models')).toContain(bed.image.model)
    expect(await bed.sh('journalctl -b --no-pager')).not.toContain('ordering cycle')
    await eventuallyInside('all is well', async () => (await bed.show('StatusText')).startsWith('ok: '))
    expect(await bed.sh('systemctl status gonka-node --no-pager')).toMatch(/Status: "ok: /)
    await bed.sh('rm /root/user-data.sh')
  })

  test('a wrong configuration after a good one: the node goes on, also through a restart, and shows what is wrong', async () => {
    await bed.untilServing()
    const pids = await bed.engines()
    await bed.writeEnv(`${envText()}CLIENT_ID=forty-two\n`)
    const isShown = async () => (await bed.show('StatusText')).startsWith('degraded')
    await eventuallyInside('it is shown', isShown)
    await bed.sh('systemctl restart gonka-node')
    await eventuallyInside('it is shown again', isShown)
    await bed.untilServing()
    expect(await bed.engines()).toEqual(pids)
    expect(await bed.sh('gonka-node status; echo "exit $?"')).toMatch(/CLIENT_ID[^]*exit 1\n$/)
    await bed.writeEnv(envText())
    await eventuallyInside('put right', async () => (await bed.show('StatusText')).startsWith('ok: '))
    expect(await bed.engines()).toEqual(pids)
  })

  test('a reboot with a registered record: its broker polls, orders stop and up during the load, and the model is loaded once', async () => {
    const lives = async () =>
      (await bed.sh('ls /var/log/vllm-poc')).split('\n').filter((name) => name.startsWith('engine-'))
    const before = new Set(await lives())
    const called = (await bed.calls()).length
    await bed.container.reboot()
    await bed.untilServing()
    await isRegistered()
    const orders = (await bed.calls())
      .slice(called)
      .filter(({ direction, method }) => direction === 'out' && method === 'POST')
    expect(orders.map(({ path }) => path).join(' ')).toMatch(/\/stop.*\/inference\/up/)
    expect(
      (await lives())
        .filter((name) => !before.has(name))
        .map((name) => name.slice(0, 8))
        .toSorted(),
    ).toEqual(['engine-0', 'engine-1'])
  })
})
