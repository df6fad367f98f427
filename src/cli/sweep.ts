// `gonka-node sweep`: after a real stop nothing of ours may be left (ExecStopPost=+). After a crash, or for a restart, engines
// and tunnels stay for the next daemon: KillMode=process leaves the decision to us (facts/systemd.md 3.7).
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { judgeGiven } from '../config/judge.ts'
import { pickPlaces, readSources } from '../config/sources.ts'
import { adoptBody } from '../core/body.ts'
import { messageOf } from '../core/errors.ts'
import { silentLog } from '../core/log.ts'
import { plainEnv, runProgram } from '../core/run-program.ts'
import { spareName } from '../host/spare-state.ts'
import { findSegments, sweepSegments } from '../engine/shm.ts'
import { parseJob } from '../host/systemd-job.ts'
import { UsageError, exits, type Output, type Verb } from './verb.ts'

export const sweep: Verb = {
  usage: '[--always] [--unit UNIT]',
  summary: 'as root, after the daemon: ends engines and tunnels that a real stop left behind',
  help: `--unit UNIT    does nothing unless systemd has a stop job for UNIT (default gonka-node.service)
--always       ends them whatever systemd says; the daemon must not be running

Run by gonka-node.service after each end; by hand only after a daemon that was killed for good.`,
  options: { always: { type: 'boolean' }, unit: { type: 'string' } },
  positionals: 0,
  async run({ flags, out }) {
    if (process.getuid?.() !== 0) throw new UsageError('needs root')
    const unit = typeof flags['unit'] === 'string' ? flags['unit'] : 'gonka-node.service'
    if (flags['always'] !== true && (await readJob(unit)) !== 'stop') return exits.ok
    const { given } = await readSources(pickPlaces(process.env))
    const config = judgeGiven(given).config ?? judgeGiven(new Map()).config
    const stateDir = config?.host.stateDir ?? '/var/lib/gonka-node'
    const runDir = config?.host.runDir ?? '/run/gonka-node'
    const places = [stateDir, join(runDir, spareName)]
    const folders = await Promise.all(
      places.flatMap((place) => ['engines', 'frp-lives'].map((part) => listLives(join(place, part)))),
    )
    const outcomes = await Promise.all(folders.flat().map((folder) => endLife(folder, out)))
    await killLeftOvers(unit, out)
    return outcomes.every(Boolean) ? exits.ok : exits.unhealthy
  },
}

/** In doubt nothing is swept. */
async function readJob(unit: string): Promise<'restart' | 'stop'> {
  const outcome = await runProgram('systemctl', ['list-jobs', '--no-legend', '--no-pager'], {
    timeout: 5000,
    env: plainEnv,
  })
  return outcome.kind === 'exited' && outcome.code === 0 ? parseJob(outcome.stdout, unit) : 'restart'
}

async function listLives(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  return names.map((name) => join(folder, name))
}

/** The daemon's own stop was gentle and had its time: this is the last resort. */
async function endLife(folder: string, out: Output): Promise<boolean> {
  try {
    const body = await adoptBody(folder, { log: silentLog })
    if (!body) return true
    out.complain(`sweep: ending ${body.id}, left behind by the daemon`)
    const segments = await findSegments(await body.pids())
    await body.end({ signal: 'SIGINT', patience: 2000 })
    // Only what it had open: by time alone we could take what another program of root made.
    await sweepSegments({ segments, from: Infinity, to: 0 })
    return true
  } catch (error) {
    out.complain(`sweep: ${folder}: ${messageOf(error)}`)
    return false
  }
}

/** Lives whose record is gone (a state folder that was deleted or emptied) still have their cgroup below that of the unit. */
async function killLeftOvers(unit: string, out: Output): Promise<void> {
  const asked = await runProgram('systemctl', ['show', '-P', 'ControlGroup', unit], { timeout: 5000, env: plainEnv })
  const path = asked.kind === 'exited' ? asked.stdout.trim() : ''
  if (path === '') return
  const below = await readdir(join('/sys/fs/cgroup', path), { withFileTypes: true }).catch(() => [])
  // systemd runs us in `.control`.
  const lives = below.filter((one) => one.isDirectory() && one.name !== '.control')
  for (const { name, parentPath } of lives) {
    out.complain(`sweep: ending ${name}, of which no record is left`)
    await writeFile(join(parentPath, name, 'cgroup.kill'), '1').catch((error: unknown) =>
      out.complain(`sweep: ${name}: ${messageOf(error)}`),
    )
  }
}
