// One daemon per state folder (D12). The lock is an abstract unix socket named after the folder: the kernel drops it with the
// process, however it ends, and the holder tells its pid to whoever comes second.
import { createHash } from 'node:crypto'
import { mkdir, realpath } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { systemClock } from '../core/clock.ts'
import { codeOf, Refusal } from '../core/errors.ts'
import { hostProblems } from './problems.ts'

export interface StateLock {
  release(): Promise<void>
}

/** @throws Refusal `second-daemon`: the caller exits 75 with its message, which names the first */
export async function takeStateLock(stateDir: string): Promise<StateLock> {
  await mkdir(stateDir, { recursive: true, mode: 0o750 })
  const folder = await realpath(stateDir)
  const name = `\0gonka-node/${createHash('sha256').update(folder).digest('hex').slice(0, 32)}`
  // Twice: the holder may end between our bind and our question.
  for (let tries = 0; ; tries += 1) {
    const server = await tryListen(name)
    if (server) return { release: () => new Promise((resolve) => server.close(() => resolve())) }
    const holder = await askHolder(name)
    if (holder !== 'gone' || tries >= 2)
      throw new Refusal('second-daemon', 409, `state folder ${folder} is in use by gonka-node with ${holder}`, {
        remedy: hostProblems['second-daemon'].remedy,
      })
  }
}

type Wait = {
  /** The end of the wait. */
  abort: AbortSignal
  /** Who is waited for; called once. */
  tell: (refused: Refusal) => void
  /** ms between two tries. */
  every?: number
}

/** For a daemon that would be started again and again: the first one may end soon. @throws as takeStateLock, once aborted */
export async function waitForStateLock(stateDir: string, { abort, tell, every = 1000 }: Wait): Promise<StateLock> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await takeStateLock(stateDir)
    } catch (error) {
      if (!(error instanceof Refusal) || abort.aborted) throw error
      if (tries === 1) tell(error)
      await systemClock.wait(every, abort)
    }
  }
}

function tryListen(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      // Whoever asks and never hangs up must not hold up our end.
      socket.end(`${process.pid}\n`, () => socket.destroySoon())
    })
    server.once('error', (error) => (codeOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)))
    server.listen(name, () => {
      server.unref()
      resolve(server)
    })
  })
}

/** `pid 123`; a holder that is frozen and does not answer holds it all the same. */
function askHolder(name: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(name)
    const parts: Buffer[] = []
    const done = (answer: string) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1000, () => done('a pid that it does not tell (it does not answer)'))
    socket.on('data', (part: Buffer) => parts.push(part))
    socket.on('end', () => done(`pid ${Buffer.concat(parts).toString('utf8').trim().slice(0, 20)}`))
    socket.on('error', (error) => done(codeOf(error) === 'ECONNREFUSED' ? 'gone' : 'a pid that it does not tell'))
  })
}
