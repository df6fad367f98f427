// Routes that only private forks of the API node have: our GPUs, and a round of PoC to begin with. Each is probed once; a 404 is
// remembered, success is not repeated (contracts/api-nodes.md 3.2, images.md 4.3 steps 12 and 13).
import type { Problem } from '../api/status.ts'
import type { RegistrationConfig } from '../config/registration.ts'
import type { Log } from '../core/log.ts'
import type { AdminClient } from './admin-client.ts'
import { judgeAnswer, readError } from './classify.ts'
import { toProblem } from './problems.ts'
import { toRegisteredId } from './record.ts'
import type { Timing } from './timing.ts'

/** Hands a PoC init to our own MLNode API. Resolves with its answer; 409 says that PoC runs already. */
export type StartPoc = (
  version: 'v1' | 'v2',
  init: Record<string, unknown>,
  abort: AbortSignal,
) => Promise<{ status: number; text: string }>

export type OptionalDeps = {
  client: AdminClient
  config: RegistrationConfig
  /** The body of our own GET /api/v1/gpu/devices. */
  gpuDevices: () => Record<string, unknown>
  startPoc: StartPoc
  /** Shared by all API nodes: the engines mine one round at a time, that of the first API node which has one. */
  poc: { claimedBy?: string }
  timing: Timing
  log: Log
}

/** done: it was used, or there is nothing to use. Transient trouble leaves it open, three times. */
type Use = { state: 'open' | 'done'; tries: number }

export class OptionalRoutes {
  readonly #deps: OptionalDeps
  readonly #poc: Use = { state: 'open', tries: 0 }
  readonly #hardware: Use = { state: 'open', tries: 0 }
  #sent = ''

  constructor(deps: OptionalDeps) {
    this.#deps = deps
  }

  /** After each verification while an engine serves. @returns what is wrong with starting PoC */
  async use(abort: AbortSignal): Promise<Problem | undefined> {
    const problem = await this.#startPoc(abort)
    await this.#sendHardware(abort)
    return problem
  }

  async #startPoc(abort: AbortSignal): Promise<Problem | undefined> {
    const { config, poc, client } = this.#deps
    if (!config.pocNode || poc.claimedBy || !isOpen(this.#poc)) return undefined
    const found = await this.#probe(this.#poc, abort, (id) => ({
      method: 'GET',
      path: `${toAdminRoot(config.endpoint)}/poc_init/${encodeURIComponent(id)}?access=true`,
      timeoutMs: this.#deps.timing.pocInitTimeout,
    }))
    const init = readInit(found)
    // Another API node may have claimed the engines while we asked.
    if (!init || poc.claimedBy) return undefined
    poc.claimedBy = client.address
    const answer = await this.#deps.startPoc(init.version, init.body, abort)
    const isRunning = answer.status === 409
    if (answer.status < 300 || isRunning) {
      const fields = { apiNode: client.address, version: init.version }
      this.#deps.log.info(fields, isRunning ? 'poc runs already' : 'poc started')
      return undefined
    }
    delete poc.claimedBy
    this.#poc.state = this.#poc.tries >= 3 ? 'done' : 'open'
    const said = `answered ${answer.status}: ${readError(answer.text)}`
    return toProblem('poc-start-failed', `PoC ${init.version} init of ${client.address} ${said}`)
  }

  async #sendHardware(abort: AbortSignal): Promise<void> {
    const { config, gpuDevices, timing } = this.#deps
    const body = { ...gpuDevices(), access: true }
    const key = JSON.stringify(toLasting(body))
    // GPUs that changed are sent again, where the route was there before.
    if (this.#sent && this.#sent !== key) Object.assign(this.#hardware, { state: 'open', tries: 0 })
    if (!isOpen(this.#hardware)) return
    const found = await this.#probe(this.#hardware, abort, (id) => ({
      method: 'POST',
      path: `${config.endpoint}/${encodeURIComponent(id)}/hardware`,
      body,
      timeoutMs: timing.postTimeout,
    }))
    if (found !== undefined) this.#sent = key
  }

  /** Asks with the registered id, then with the bare one that the old script used. @returns the body, undefined without one */
  async #probe(
    use: Use,
    abort: AbortSignal,
    ask: (id: string) => Parameters<AdminClient['send']>[0],
  ): Promise<unknown> {
    const { client, config, log } = this.#deps
    use.tries += 1
    for (const id of new Set([toRegisteredId(config), config.nodeId ?? '', config.clientId ?? ''])) {
      if (id === '') continue
      const { path, method } = ask(id)
      const answer = await client.send(ask(id), abort)
      const verdict = judgeAnswer(answer, `${method} ${path} at ${client.address}`)
      if (verdict.kind === 'ok') {
        use.state = 'done'
        return verdict.json
      }
      if (verdict.kind === 'transient') {
        log.debug({ evidence: verdict.evidence }, 'optional route is in trouble')
        return undefined
      }
    }
    use.state = 'done'
    return undefined
  }
}

function isOpen(use: Use): boolean {
  return use.state === 'open' && use.tries < 3
}

/** `{version, init_generate}`; an empty object means that there is nothing to start. */
function readInit(found: unknown): { version: 'v1' | 'v2'; body: Record<string, unknown> } | undefined {
  if (typeof found !== 'object' || found === null) return undefined
  const { version, init_generate: init } = found as { version?: unknown; init_generate?: unknown }
  if (typeof init !== 'object' || init === null || Array.isArray(init) || Object.keys(init).length === 0)
    return undefined
  return { version: version === 'v2' ? 'v2' : 'v1', body: init as Record<string, unknown> }
}

/** `/admin/v1/nodes` → `/admin/v1` */
function toAdminRoot(endpoint: string): string {
  return endpoint.replace(/\/nodes\/?$/, '')
}

/** Without what changes from second to second. */
function toLasting(body: Record<string, unknown>): unknown {
  const devices = Array.isArray(body['devices']) ? (body['devices'] as Record<string, unknown>[]) : []
  return devices.map((device) => [device['index'], device['name'], device['total_memory_mb']])
}
