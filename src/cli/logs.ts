// `gonka-node logs`: engine logs from disk, so that they can be read while the daemon is down; those of launches over the socket.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { loadOrLastGood } from '../config/last-good.ts'
import { pickPlaces } from '../config/sources.ts'
import { judgeGiven } from '../config/judge.ts'
import { Refusal, messageOf } from '../core/errors.ts'
import { readLastLines, tailLines } from '../core/log-file.ts'
import { printLaunchLog } from './launch-log.ts'
import { pickSocket, socketOption } from './socket-path.ts'
import { UsageError, exits, type Output, type Verb } from './verb.ts'

export const logs: Verb = {
  usage: '[SLOT | LAUNCH] [--follow] [--lines N] [--json] [--list] [--dir FOLDER] [--socket PATH]',
  summary: 'prints the log of an engine (slot 0 where not said), also while the daemon is down, or of a launch',
  help: `SLOT           number of the engine, as \`gonka-node engines\` lists it
LAUNCH         id, its beginning, or name of a launch, as \`gonka-node launches\` lists it; also of one that has ended
-n, --lines N  the last N lines (default 50)
-f, --follow   goes on with what comes; when the engine is started again, with its new log; of a launch until it has ended
--json         each line as a JSON text
--list         lists the logs of engines that are kept, newest first
--dir FOLDER   engine logs in FOLDER instead of LOG_DIR of the configuration
--socket PATH  for launches: another daemon than that of /run/gonka-node/control.sock; GONKA_SOCKET=PATH does the same

The daemon's own log: journalctl -u gonka-node`,
  options: {
    follow: { type: 'boolean', short: 'f' },
    lines: { type: 'string', short: 'n' },
    list: { type: 'boolean' },
    dir: { type: 'string' },
    json: { type: 'boolean' },
    ...socketOption,
  },
  positionals: 1,
  async run({ positionals: [which], flags, out: plain }) {
    const lines = parseLines(flags['lines'])
    const out = flags['json'] ? asJson(plain) : plain
    if (which !== undefined && !isSlot(which)) {
      if (flags['list'] || flags['dir'] !== undefined) throw new UsageError(`"${which}" is no slot; write 0, 1, …`)
      await printLaunchLog({ socket: pickSocket(flags), which, lines, follow: flags['follow'] === true, out })
      return exits.ok
    }
    const slot = Number(which ?? 0)
    const folder = typeof flags['dir'] === 'string' ? flags['dir'] : await pickLogDir()
    const found = await listLogs(folder)
    if (flags['list']) {
      for (const one of found) out.write(`${one.path}\n`)
      return exits.ok
    }
    const path = newestOf(found, slot)?.path
    if (path === undefined)
      throw new Refusal('no-log', 404, `no log of engine ${slot} in ${folder}`, {
        remedy: '`gonka-node logs --list` lists what is there',
      })
    for (const line of await readLastLines(path, lines)) out.write(`${line}\n`)
    if (flags['follow']) await follow({ folder, slot, path, out })
    return exits.ok
  },
}

/** Of an id of a launch at least its first eight characters would have to be digits too. */
const isSlot = (text: string) => /^\d{1,4}$/.test(text)

/** Every line that is written, as a JSON text. */
const asJson = (out: Output): Output => ({
  ...out,
  write: (text) => out.write(`${JSON.stringify(text.replace(/\n$/, ''))}\n`),
})

function parseLines(text: unknown): number {
  if (text === undefined) return 50
  if (typeof text !== 'string' || !/^\d{1,6}$/.test(text)) throw new UsageError('--lines needs a number up to 999999')
  return Number(text)
}

async function pickLogDir(): Promise<string> {
  const loaded = await loadOrLastGood(pickPlaces(process.env), undefined, false)
  const config = loaded.kind === 'ok' || loaded.kind === 'last-good' ? loaded.config : judgeGiven(new Map()).config
  return config?.host.logDir ?? '/var/log/vllm-poc'
}

type EngineLog = { path: string; slot: number; at: number }

async function listLogs(folder: string): Promise<EngineLog[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new Refusal('no-log', 404, `the log folder cannot be read: ${messageOf(error)}`, {
      remedy: 'run it as root or in the group gonka, or name the folder with --dir',
    })
  })
  const logFiles = names.flatMap((name) => {
    const match = /^engine-(\d+)-.*\.log$/.exec(name)
    return match ? [{ path: join(folder, name), slot: Number(match[1]) }] : []
  })
  const dated = await Promise.all(
    logFiles.map(async (one) => ({ ...one, at: (await stat(one.path).catch(() => undefined))?.birthtimeMs ?? 0 })),
  )
  return dated.toSorted((a, b) => b.at - a.at)
}

const newestOf = (found: readonly EngineLog[], slot: number) => found.find((one) => one.slot === slot)

/** Until Ctrl-C. A newer life of the slot takes over: a crash and its restart read as one log. */
async function follow(at: { folder: string; slot: number; path: string; out: Output }): Promise<void> {
  let { path } = at
  let offset = (await stat(path)).size
  for (;;) {
    const newer = new AbortController()
    const watching = watchForNewer(at.folder, at.slot, path, newer)
    for await (const line of tailLines(path, offset, newer.signal)) at.out.write(`${line.text}\n`)
    const next = await watching
    at.out.write(`--- ${next}\n`)
    path = next
    offset = 0
  }
}

async function watchForNewer(folder: string, slot: number, path: string, found: AbortController): Promise<string> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const newest = newestOf(await listLogs(folder), slot)
    if (newest === undefined || newest.path === path) continue
    found.abort()
    return newest.path
  }
}
