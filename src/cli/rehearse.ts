// `gonka-node rehearse`: the daemon against the outside world in miniature, on this machine, until Ctrl-C.
import type { NodeStatus, PartStatus } from '../api/status.ts'
import type { Ports } from '../rehearsal/free-ports.ts'
import type { Rehearsal } from '../rehearsal/rehearsal.ts'
import { createSteps, describeProblem, type Steps } from './rehearsal-steps.ts'
import { whenOutputFails } from './output.ts'
import { ask } from './socket-client.ts'
import { type Invocation, UsageError, exits, type Output, type Verb } from './verb.ts'

export const rehearse: Verb = {
  usage:
    '[--gpus N] [--tp N] [--engine PATH] [--set NAME=value]… [--port NAME=N]… [--until mining] [--timeout 60s] [--scale 0.1] [--json]',
  summary: 'runs the daemon against a rehearsal of the outside world, on this machine',
  help: `--gpus N           GPUs of the pretended machine (default 2; 0: none)
--tp N             tensor parallel size (default 1): GPUs per engine
--engine PATH      in the place of the engine's Python, for example that of a real vLLM environment
--set NAME=value   a variable of the env file; several times
--port NAME=N      another port for node, inference, control, grpc, admin, callbacks or frps
--until mining     ends 0 once the node is registered and every engine generates, 1 with the reason after --timeout
--timeout 60s      for --until, counted from the daemon's first answer, which has a minute of its own
--scale 0.1        speed of the API node's broker: 1 is the real one (polls every 60 s)
--json             one line with the addresses, as soon as the daemon listens

Real frps and frpc are used where they are on PATH. Everything lives in a temporary folder and is gone afterwards.`,
  options: {
    gpus: { type: 'string' },
    tp: { type: 'string' },
    engine: { type: 'string' },
    set: { type: 'string', multiple: true },
    port: { type: 'string', multiple: true },
    until: { type: 'string' },
    timeout: { type: 'string' },
    scale: { type: 'string' },
    json: { type: 'boolean' },
  },
  positionals: 0,
  async run(call) {
    const wishes = parseWishes(call)
    const { startRehearsal } = await import('../rehearsal/rehearsal.ts')
    const stopped = new AbortController()
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stopped.abort())
    whenOutputFails(() => stopped.abort())
    const rehearsal = await startRehearsal(wishes)
    try {
      return await show({ rehearsal, call, wishes, stopped: stopped.signal })
    } finally {
      if (!call.flags['json']) call.out.write('\nending: engines, tunnels, and what pretended to be the world\n')
      await rehearsal.end()
    }
  },
}

type Wishes = ReturnType<typeof parseWishes>

function parseWishes({ flags }: Invocation) {
  const whole = (name: string, absent: number, { min, max }: { min: number; max: number }) => {
    const text = flags[name]
    if (text === undefined) return absent
    if (typeof text !== 'string' || !/^\d{1,5}$/.test(text) || Number(text) < min || Number(text) > max)
      throw new UsageError(`--${name} needs a number from ${min} to ${max}, not ${JSON.stringify(text)}`)
    return Number(text)
  }
  const { engine, until, timeout, scale } = flags
  if (until !== undefined && until !== 'mining')
    throw new UsageError(`--until "${String(until)}" is unknown; the only one is mining`)
  const patience = /^(\d+)(m?s|m)?$/.exec(String(timeout ?? '60s'))
  if (!patience) throw new UsageError(`--timeout "${String(timeout)}" is no duration; write 60s or 5m`)
  const speed = Number(scale ?? 0.1)
  if (!(speed > 0)) throw new UsageError(`--scale "${String(scale)}" is no number above 0`)
  return {
    gpus: whole('gpus', 2, { min: 0, max: 64 }),
    tensorParallel: whole('tp', 1, { min: 1, max: 64 }),
    engine: typeof engine === 'string' ? engine : undefined,
    set: parsePairs(flags['set']),
    ports: parsePorts(flags['port']),
    until: until as 'mining' | undefined,
    timeout: Number(patience[1]) * ({ ms: 1, m: 60_000 }[patience[2] ?? ''] ?? 1000),
    scale: speed,
  }
}

function parsePairs(given: unknown): Record<string, string> {
  const pairs = (Array.isArray(given) ? given : []).map((one: string) => {
    const at = one.indexOf('=')
    if (at < 1) throw new UsageError(`"${one}" is not NAME=value`)
    return [one.slice(0, at), one.slice(at + 1)] as const
  })
  return Object.fromEntries(pairs)
}

function parsePorts(given: unknown): Partial<Ports> {
  const names = ['node', 'inference', 'control', 'grpc', 'admin', 'callbacks', 'frps']
  const entries = Object.entries(parsePairs(given)).map(([name, text]) => {
    if (!names.includes(name)) throw new UsageError(`--port ${name} is unknown; the ports are ${names.join(', ')}`)
    const port = Number(text)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new UsageError(`--port ${name}=${text} is no port`)
    return [name, port] as const
  })
  return Object.fromEntries(entries)
}

/** ms; a start takes two seconds, and much longer on a machine that is busy with others. */
const firstAnswer = 60_000

type Show = { rehearsal: Rehearsal; call: Invocation; wishes: Wishes; stopped: AbortSignal }

async function show({ rehearsal, call, wishes, stopped }: Show): Promise<number> {
  const { out, flags } = call
  const { machine, ports, daemon } = rehearsal
  const steps = createSteps(rehearsal)
  const within = (ms: number) => AbortSignal.any([stopped, AbortSignal.timeout(ms)])
  const first = await steps.untilListening(within(firstAnswer))
  // Stopped before: the daemon ends with the rehearsal, not before it.
  if (stopped.aborted) return exits.ok
  if (first.kind === 'ended') return complain(out, await daemon.ended, machine.folder)
  if (first.kind === 'aborted') return complainLate(out, firstAnswer, 'no answer of the daemon')
  // It is tried again and again: who waits for nothing may see to the other program.
  if (first.kind === 'refused') out.complain(`the node API is not there: ${first.why}`)
  const addresses = {
    root: machine.folder,
    node: `http://127.0.0.1:${ports.node}`,
    inference: `http://127.0.0.1:${ports.inference}`,
    control: `http://127.0.0.1:${ports.control}`,
    grpc: `127.0.0.1:${ports.grpc}`,
    socket: machine.socket,
    apiNode: `http://127.0.0.1:${ports.admin}`,
    pid: daemon.pid(),
  }
  if (flags['json']) out.write(`${JSON.stringify(addresses)}\n`)
  else out.write(renderAddresses(addresses, machine.frps.real))
  if (wishes.until === 'mining')
    return untilMining(steps, {
      out,
      timeout: wishes.timeout,
      late: within(wishes.timeout),
      quiet: flags['json'] === true,
    })
  await Promise.race([
    narrate(machine.socket, out, stopped, flags['json'] === true),
    steps.mineWhenRegistered(stopped),
    new Promise<void>((resolve) => stopped.addEventListener('abort', () => resolve())),
  ])
  return exits.ok
}

async function complain(out: Output, code: number, root: string): Promise<number> {
  const { readFile } = await import('node:fs/promises')
  const log = await readFile(`${root}/log/gonka-node.log`, 'utf8').catch(() => '')
  out.complain(`the daemon ended with ${code}:\n${log.trim().split('\n').slice(-20).join('\n')}`)
  return exits.unhealthy
}

function renderAddresses(at: Record<string, string | number | undefined>, realFrp: boolean): string {
  return `node API     ${at['node']}/api/v1/state
inference    ${at['inference']}/v1/models
control      ${at['control']}/docs
gRPC         ${at['grpc']}
API node     ${at['apiNode']}/admin/v1/nodes
tunnels      ${realFrp ? 'real frps and frpc from PATH' : 'rehearsal frps and frpc'}
files        ${at['root']} (env file, state, logs)
ask it       export GONKA_ENV_FILE=${at['root']}/gonka-container.env GONKA_SOCKET=${at['socket']}
             npx gonka-node status --watch

`
}

async function untilMining(
  steps: Steps,
  at: { out: Output; timeout: number; late: AbortSignal; quiet: boolean },
): Promise<number> {
  const outcome = await steps.untilMining(at.late, (line) => {
    if (!at.quiet) at.out.write(`${line}\n`)
  })
  if (outcome === undefined) return exits.ok
  return complainLate(at.out, at.timeout, 'not mining', outcome)
}

function complainLate(out: Output, timeout: number, what: string, why?: string): number {
  out.complain(`${what} after ${timeout / 1000} s${why === undefined ? '' : `: ${why}`}`)
  return exits.unhealthy
}

/** One line per change of a part, while the boot goes on and after it. Survives restarts of the daemon. */
async function narrate(socket: string, out: Output, stopped: AbortSignal, quiet: boolean): Promise<void> {
  const began = Date.now()
  const told = new Map<string, string>()
  while (!stopped.aborted) {
    const found = await ask<NodeStatus>(socket, 'GET /status').catch(() => undefined)
    for (const part of quiet ? [] : flat(found?.parts ?? [])) {
      const line = `${part.health}: ${part.summary}${part.problem ? ` ${describeProblem(part.problem)}` : ''}`
      if (told.get(part.name) === line) continue
      told.set(part.name, line)
      out.write(`${((Date.now() - began) / 1000).toFixed(1).padStart(7)} s  ${part.name.padEnd(22)} ${line}\n`)
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

const flat = (parts: readonly PartStatus[], path = ''): PartStatus[] =>
  parts.flatMap((part) => [
    { ...part, name: `${path}${part.name}` },
    ...flat(part.parts ?? [], `${path}${part.name} / `),
  ])
