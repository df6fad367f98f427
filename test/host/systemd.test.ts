import { execFileSync, spawn } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { startSystemd } from '../../src/host/systemd.ts'
import { parseJob, parseOwnUnit } from '../../src/host/systemd-job.ts'
import { eventually } from '../support/eventually.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Node cannot receive datagrams on unix sockets either: python3 does, and prints one JSON line for each. */
const receiver = `
import array, json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print('"bound"', flush=True)
while True:
    text, ancillary, _, _ = s.recvmsg(4096, 1024)
    fds = array.array('i')
    for _, _, raw in ancillary: fds.frombytes(raw)
    print(json.dumps({'text': text.decode(), 'fds': len(fds)}), flush=True)
`
const missing = pickMissing()

function pickMissing(): string | undefined {
  try {
    execFileSync('python3', ['-c', 'import ctypes; ctypes.CDLL("libsystemd.so.0")'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'python3 or libsystemd.so.0'
  }
}

test.skipIf(missing)(`ready, status and sockets reach systemd (needs python3 and libsystemd)`, async () => {
  const socket = join(await tempDir(), 'notify')
  const python = spawn('python3', ['-c', receiver, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void python.kill('SIGKILL'))
  const seen: unknown[] = []
  createInterface(python.stdout).on('line', (line) => seen.push(JSON.parse(line)))
  await eventually('bound', () => seen.includes('bound'))
  const env: Record<string, string | undefined> = { NOTIFY_SOCKET: socket, KEPT: 'yes' }
  const systemd = await startSystemd({ log: silentLog, env })
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  systemd.ready()
  systemd.status('ok\nfine')
  systemd.status('ok fine')
  systemd.fdStore.keep('node', (server as unknown as { _handle: { fd: number } })._handle.fd)
  systemd.stopping()
  await eventually('all told', () => seen.length === 5)
  expect(seen.slice(1)).toEqual([
    { text: 'READY=1', fds: 0 },
    { text: 'STATUS=ok fine', fds: 0 },
    { text: 'FDSTORE=1\nFDNAME=node', fds: 1 },
    { text: 'STOPPING=1', fds: 0 },
  ])
  expect(env).toEqual({ KEPT: 'yes' })
  expect(process.env['NOTIFY_SOCKET']).toBeUndefined()
})

test('without systemd nothing is sent, kept or broken', async () => {
  const systemd = await startSystemd({ log: silentLog, env: {} })
  systemd.ready()
  systemd.feedWatchdog(() => undefined)
  systemd.fdStore.keep('node', 99)
  expect(systemd.active).toBe(false)
  expect(systemd.fdStore.take('node')).toBeUndefined()
})

test('the watchdog is fed while the invariants hold, and starves when one breaks or throws', async () => {
  const sent: string[] = []
  const env = { WATCHDOG_USEC: '60000', WATCHDOG_PID: String(process.pid) }
  const systemd = await startSystemd({ log: silentLog, env, send: (line) => sent.push(line) })
  onTestFinished(() => systemd.end())
  const world: { broken: boolean; checks: number } = { broken: false, checks: 0 }
  systemd.feedWatchdog(() => {
    world.checks += 1
    if (world.broken) throw new Error('listener is gone')
    return undefined
  })
  await eventually('fed', () => sent.length >= 3)
  world.broken = true
  const [fed, checks] = [sent.length, world.checks]
  await eventually('checked again', () => world.checks >= checks + 3)
  expect(sent.length).toBe(fed)
  world.broken = false
  await eventually('fed again', () => sent.length > fed)
})

test('a long stop is told to systemd again and again, and never beyond its bound', async () => {
  const sent: { ms: number; until: number }[] = []
  const send = (line: string) => {
    const ms = Number(/^EXTEND_TIMEOUT_USEC=(\d+)$/.exec(line)?.[1]) / 1000
    sent.push({ ms, until: performance.now() + ms })
  }
  const systemd = await startSystemd({ log: silentLog, env: {}, send, extendEvery: 100 })
  onTestFinished(() => systemd.end())
  const began = performance.now()
  systemd.extendStop(1500)
  expect(sent[0]?.ms).toBe(300)
  await eventually('one that the bound cuts short', () => (sent.at(-1)?.ms ?? 300) < 300)
  expect(sent.length).toBeGreaterThan(2)
  // Sent a moment after its own reckoning.
  expect(Math.max(...sent.map(({ until }) => until))).toBeLessThan(began + 1500 + 50)
})

test('a watchdog that is meant for another process is not fed', async () => {
  const sent: string[] = []
  const systemd = await startSystemd({
    log: silentLog,
    env: { WATCHDOG_USEC: '60000', WATCHDOG_PID: '1' },
    send: (line) => sent.push(line),
  })
  systemd.feedWatchdog(() => undefined)
  expect(sent).toEqual([])
})

test('inherited sockets are found by name, once, and only when they are meant for us', async () => {
  const given = { LISTEN_FDS: '2', LISTEN_FDNAMES: 'node:inference', LISTEN_PID: String(process.pid) }
  const ours = await startSystemd({ log: silentLog, env: { ...given }, send: () => {} })
  expect(ours.fdStore.take('inference')).toBe(4)
  expect(ours.fdStore.take('inference')).toBeUndefined()
  expect(ours.fdStore.take('node')).toBe(3)
  const others = await startSystemd({ log: silentLog, env: { ...given, LISTEN_PID: '1' }, send: () => {} })
  expect(others.fdStore.take('node')).toBeUndefined()
})

async function intent(script: string): Promise<string> {
  const systemctl = join(await tempDir(), 'systemctl')
  await writeFile(systemctl, `#!/bin/sh\n${script}\n`)
  await chmod(systemctl, 0o755)
  const systemd = await startSystemd({ log: silentLog, env: {}, systemctl, unit: 'gonka-node.service' })
  return systemd.intentOfJob()
}

test('a stop job is a stop; a restart, no job, a failing and a hanging systemctl leave the engines alone', async () => {
  expect(await intent("echo '  871 gonka-node.service        stop    running'")).toBe('stop')
  expect(await intent("echo '871 gonka-node.service restart running'")).toBe('restart')
  expect(await intent("echo '871 other.service stop running'")).toBe('restart')
  expect(await intent("echo 'Failed to connect to bus' >&2; exit 1")).toBe('restart')
  const began = performance.now()
  expect(await intent('sleep 60')).toBe('restart')
  expect(performance.now() - began).toBeLessThan(10_000)
})

test('the unit is read from the cgroup, also from a delegated child', () => {
  expect(parseOwnUnit('0::/system.slice/gonka-node.service\n')).toBe('gonka-node.service')
  expect(parseOwnUnit('0::/system.slice/gonka-node.service/daemon\n')).toBe('gonka-node.service')
  expect(parseOwnUnit('12:cpu:/x\n1:name=systemd:/system.slice/a.service\n')).toBe('a.service')
  expect(parseOwnUnit('0::/user.slice/session-1.scope\n')).toBeUndefined()
  expect(parseJob('', 'gonka-node.service')).toBe('restart')
})
