// Waits for a launch in front of a person: stage, percent of the weights and seconds on stderr, the result on stdout.
import { setTimeout as wait } from 'node:timers/promises'
import { type LaunchResponse, isTerminal } from '../api/launches.ts'
import { askThrough } from './ask-through.ts'
import { renderFailure, renderProgress, toShortId } from './render-launch.ts'
import { type Invocation, exits } from './verb.ts'

type Waiting = { socket: string; id: string; /** ms */ timeout: number; call: Invocation }

/** A daemon that is being restarted is waited for: the model goes on loading meanwhile. @returns the exit status */
export async function waitForLaunch({ socket, id, timeout, call: { flags, out } }: Waiting): Promise<number> {
  const end = performance.now() + timeout
  const show = createProgress(flags['json'] ? undefined : process.stderr)
  using _ = onInterrupt(() => {
    show.end()
    out.complain(`launch ${toShortId(id)} goes on; \`gonka-node stop ${toShortId(id)}\` stops it`)
  })
  for (;;) {
    const now = await askThrough<LaunchResponse>(socket, `GET /launches/one?id=${encodeURIComponent(id)}`)
    show(now)
    if (now.state === 'ready' || isTerminal(now.state)) {
      show.end()
      if (flags['json']) out.write(`${JSON.stringify(now)}\n`)
      else if (now.state === 'ready') out.write(`${now.launch_id}\n`)
      else out.complain(renderFailure(now).trimEnd())
      return now.state === 'ready' ? exits.ok : exits.unhealthy
    }
    if (performance.now() > end) {
      show.end()
      out.complain(`launch ${toShortId(id)} does not serve after ${Math.round(timeout / 1000)} s; it goes on`)
      return exits.unhealthy
    }
    await wait(250)
  }
}

/** Ctrl-C ends the waiting, and nothing else. */
function onInterrupt(tell: () => void): Disposable {
  const end = () => {
    tell()
    process.exit(exits.interrupted)
  }
  process.once('SIGINT', end)
  return { [Symbol.dispose]: () => void process.off('SIGINT', end) }
}

/** One line that is written over again on a terminal; elsewhere a line for each new stage, and for each tenth of the weights. */
function createProgress(target: NodeJS.WriteStream | undefined) {
  const write = (text: string) => void target?.write(text)
  const shown = { stage: '', open: false }
  const show = (now: LaunchResponse) => {
    if (now.state === 'ready' || isTerminal(now.state)) return
    const text = `${now.model}: ${renderProgress(now) || now.state}`
    if (target?.isTTY) {
      write(`\r\u001B[K${text}`)
      shown.open = true
      return
    }
    const { stage: name = '', percent = 0 } = now.progress ?? {}
    const stage = `${now.state} ${name} ${Math.floor(percent / 10)} ${now.queue_position ?? ''}`
    if (stage !== shown.stage) write(`${text}\n`)
    shown.stage = stage
  }
  show.end = () => {
    if (shown.open) write('\r\u001B[K')
  }
  return show
}
