// The steps of a rehearsal: listening, registered, mining. Waits by asking the daemon, and says what is still missing.
import type { ApiNodeView } from '../api-nodes/view.ts'
import type { NodeStatus, Problem } from '../api/status.ts'
import { startPoc } from '../rehearsal/api-node-poc.ts'
import type { Rehearsal } from '../rehearsal/rehearsal.ts'
import type { EngineView } from '../fleet/fleet.ts'
import { ask } from './socket-client.ts'

export interface Steps {
  /** Until its node API answers, it has said why that cannot be, it ended, or `abort` came. */
  untilListening(abort: AbortSignal): Promise<Listening>
  /** Lets the API node begin a round as soon as the node is registered there. */
  mineWhenRegistered(stopped: AbortSignal): Promise<void>
  /** @returns undefined once every planned engine generates, else what was missing when `abort` came */
  untilMining(abort: AbortSignal, say: (line: string) => void): Promise<string | undefined>
}

/** refused: another program has the port, which the daemon tries again and again. */
export type Listening = { kind: 'listening' | 'ended' | 'aborted' } | { kind: 'refused'; why: string }

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
    async untilListening(abort) {
      let found: Listening = { kind: 'aborted' }
      void daemon.ended.then(() => (found = { kind: 'ended' }))
      const isKnown = async () => {
        if (found.kind !== 'ended') found = (await judgeListening(machine.socket, ports.node)) ?? found
        return found.kind !== 'aborted'
      }
      await until(isKnown, abort)
      return found
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

/** Who answers on the port may be somebody else: what the daemon says of its listener counts. Undefined: not known yet. */
async function judgeListening(socket: string, port: number): Promise<Listening | undefined> {
  const status = await ask<NodeStatus>(socket, 'GET /status')
  const listener = status.parts.find(({ name }) => name === 'listener node')
  if (listener?.problem) return { kind: 'refused', why: `${listener.summary}: ${describeProblem(listener.problem)}` }
  if (listener?.health !== 'ok') return undefined
  await read(`http://127.0.0.1:${port}/api/v1/state`)
  return { kind: 'listening' }
}

export const describeProblem = ({ code, evidence }: Problem) => `[${code}: ${evidence}]`

/** Every problem that the daemon knows of: the reason is in there. */
async function describeMissing(socket: string, what: string): Promise<string> {
  const status = await ask<NodeStatus>(socket, 'GET /status').catch(() => undefined)
  if (!status) return `${what}; the daemon does not answer`
  const open = status.parts.filter(({ health }) => health !== 'ok' && health !== 'off')
  return [
    what,
    ...open.map(({ name, summary, problem }) => `${name}: ${summary}${problem ? ` ${describeProblem(problem)}` : ''}`),
  ].join('; ')
}

async function read<T>(url: string): Promise<T> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2000) })
  return (await answer.json()) as T
}
