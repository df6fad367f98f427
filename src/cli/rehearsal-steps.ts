// The steps of a rehearsal: listening, registered, mining. Waits by asking the daemon, and says what is still missing.
import type { ApiNodeView } from '../api-nodes/view.ts'
import type { NodeStatus } from '../api/status.ts'
import { startPoc } from '../rehearsal/api-node-poc.ts'
import type { Rehearsal } from '../rehearsal/rehearsal.ts'
import type { EngineView } from '../fleet/fleet.ts'
import { ask } from './socket-client.ts'

export interface Steps {
  /** False: the daemon ended, or `stopped` came. */
  untilListening(stopped: AbortSignal): Promise<boolean>
  /** Lets the API node begin a round as soon as the node is registered there. */
  mineWhenRegistered(stopped: AbortSignal): Promise<void>
  /** @returns undefined once every planned engine generates, else what was missing when `abort` came */
  untilMining(abort: AbortSignal, say: (line: string) => void): Promise<string | undefined>
}

type PocStatus = { status: string; backends: { port: number; status: string }[] }

export function createSteps({ machine, ports, apiNode, daemon }: Rehearsal): Steps {
  const registered = () =>
    ask<ApiNodeView[]>(machine.socket, 'GET /api-nodes').then((views) =>
      views.some(({ phase }) => phase === 'registered'),
    )
  const pocStatus = () => read<PocStatus>(`http://127.0.0.1:${ports.node}/api/v1/inference/pow/status`)
  const until = async (probe: () => Promise<boolean>, abort: AbortSignal) => {
    while (!abort.aborted) {
      if (await probe().catch(() => false)) return true
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    return false
  }
  const mine = async (abort: AbortSignal) => {
    if (!(await until(registered, abort))) return false
    await startPoc(apiNode.world, {})
    return true
  }
  return {
    async untilListening(stopped) {
      const ended = daemon.ended.then(() => true)
      let gone = false
      void ended.then(() => (gone = true))
      const answers = () => read(`http://127.0.0.1:${ports.node}/api/v1/state`).then(() => true)
      return until(async () => gone || (await answers()), stopped).then((found) => found && !gone)
    },
    async mineWhenRegistered(stopped) {
      await mine(stopped)
      await new Promise<void>((resolve) =>
        stopped.aborted ? resolve() : stopped.addEventListener('abort', () => resolve()),
      )
    },
    async untilMining(abort, say) {
      if (!(await until(registered, abort))) return describeMissing(machine.socket, 'not registered')
      say('registered')
      await startPoc(apiNode.world, {})
      const generating = async () => {
        const [poc, engines] = await Promise.all([pocStatus(), ask<EngineView[]>(machine.socket, 'GET /engines')])
        return (
          engines.length > 0 &&
          poc.backends.length === engines.length &&
          poc.backends.every(({ status }) => status === 'GENERATING')
        )
      }
      if (!(await until(generating, abort))) return describeMissing(machine.socket, 'not every engine generates')
      const { backends } = await pocStatus()
      say(`mining: ${backends.map(({ port }) => `engine :${port}`).join(', ')}`)
      return undefined
    },
  }
}

/** Every problem that the daemon knows of: the reason is in there. */
async function describeMissing(socket: string, what: string): Promise<string> {
  const status = await ask<NodeStatus>(socket, 'GET /status').catch(() => undefined)
  if (!status) return `${what}; the daemon does not answer`
  const open = status.parts.filter(({ health }) => health !== 'ok' && health !== 'off')
  return [
    what,
    ...open.map(
      ({ name, summary, problem }) => `${name}: ${summary}${problem ? ` [${problem.code}: ${problem.evidence}]` : ''}`,
    ),
  ].join('; ')
}

async function read<T>(url: string): Promise<T> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2000) })
  return (await answer.json()) as T
}
