#!/usr/bin/env node
// How a run of the daemon ends, without the daemon: whenEnding() for the places given as JSON, run by nobody in particular, who
// may not read every file. On stdin `hup`, `helper` and `errors`; each line of stdout
// is {"shown":[codes]}, {"errors":[what was logged as such]}, or {"ended":…} at last.
import { createInterface } from 'node:readline'
import { signal } from '@preact/signals-core'
import { loadConfig } from '../../src/config/load.ts'
import type { ConfigPlaces } from '../../src/config/sources.ts'
import { silentLog } from '../../src/core/log.ts'
import { whenEnding } from '../../src/endings.ts'
import type { Notice } from '../../src/host/reclaim.ts'

const [places = '{}', under] = process.argv.slice(2)
const say = (what: unknown) => process.stdout.write(`${JSON.stringify(what)}\n`)
if (process.getuid?.() === 0) {
  process.setgroups?.([])
  process.setgid?.(65534)
  process.setuid?.(65534)
}
const errors: string[] = []
const needsHelper = signal(false)
const signals = { SIGTERM: signal(0), SIGINT: signal(0), SIGHUP: signal(0) }
const asked = createInterface(process.stdin)
asked.on('line', (line) => {
  if (line === 'hup') signals.SIGHUP.value += 1
  if (line === 'helper') needsHelper.value = true
  if (line === 'errors') say({ errors })
})
asked.once('close', () => process.exit(0))
const ended = whenEnding({
  node: {
    notice: signal<Notice | undefined>(undefined),
    needsHelper,
    showConfig: (one) =>
      say({
        shown:
          one?.kind === 'missing'
            ? ['missing']
            : one && 'problems' in one
              ? one.problems.map(({ code }) => code ?? 'bad')
              : [],
      }),
  },
  loaded: await loadConfig(JSON.parse(places) as ConfigPlaces),
  signals,
  systemd: { active: under === 'systemd', intentOfJob: () => Promise.resolve('restart') },
  log: { ...silentLog, error: (_: unknown, message?: string) => void errors.push(message ?? '') },
  abort: new AbortController().signal,
})
say('runs')
say({ ended: await ended })
