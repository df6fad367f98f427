// One API node: look at what it lists, post only what differs, look again; the loop that keeps it so and the state it holds.
import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals-core'
import type { Problem } from '../api/status.ts'
import type { RegistrationBody } from '../config/registration-json.ts'
import { onAbort } from '../core/abort.ts'
import type { Log } from '../core/log.ts'
import type { Secrets } from '../core/secrets.ts'
import { until, watch } from '../core/watch.ts'
import { judgeAnswer } from './classify.ts'
import type { Listed } from './compare.ts'
import { compareNow, look, type LookDeps, type Looked, type Trouble } from './look.ts'
import type { OptionalRoutes } from './optional-routes.ts'
import { type ApiNodeProblemCode, toProblem } from './problems.ts'
import { describeAnnounced, toRegisteredId } from './record.ts'
import { toDigest } from './remembered.ts'
import { judgeRetry, spread } from './timing.ts'
import { type ApiNodeView, type Gate, toPhase } from './view.ts'

export type RegistrationDeps = LookDeps & {
  gate: ReadonlySignal<Gate>
  serving: ReadonlySignal<boolean>
  optional: OptionalRoutes
  secrets: Secrets
  log: Log
  random: () => number
}

export class Registration {
  readonly #deps: RegistrationDeps
  readonly #view: Signal<ApiNodeView>
  readonly #id: string
  /** Counts how often the gate opened; a change ends a wait. */
  readonly #openings = signal(0)
  #openedFrom: Gate = 'waiting-engine'
  /** What was seen while the gate was closed, so that the POST goes out at the moment it opens. */
  #ahead: Looked | undefined
  /** POSTs in a row that were taken and did not make the record right. */
  #posts = 0
  /** The differences that survived two of them. */
  #survived: string | undefined
  #failures = 0
  #seenFailed = 0
  /** Our last POST was refused for good, whatever the gate did meanwhile. */
  #isRefused = false

  constructor(deps: RegistrationDeps) {
    this.#deps = deps
    this.#id = toRegisteredId(deps.config)
    this.#view = signal<ApiNodeView>({
      address: deps.client.address,
      phase: toPhase(deps.gate.peek()),
      since: this.#now(),
      differences: [],
    })
  }

  get view(): ReadonlySignal<ApiNodeView> {
    return this.#view
  }

  /** Looks and posts until aborted. */
  async keep(abort: AbortSignal): Promise<void> {
    this.#watchGate(abort)
    while (!abort.aborted) {
      const seen = this.#openings.peek()
      const wait = await this.#round(abort)
      await this.#rest(wait, seen, abort)
    }
  }

  /** After `leave`: nothing is sent any more. The loop has ended before. */
  markLeft(): void {
    this.#set({ phase: 'left', differences: [] }, undefined)
  }

  #watchGate(abort: AbortSignal): void {
    let before: Gate = this.#deps.gate.peek()
    const see = (gate: Gate) => {
      if (gate === 'open' && before !== 'open') {
        this.#openedFrom = before
        this.#openings.value += 1
        if (this.#isRefused && !this.#isSettled()) this.#set({ phase: 'refused' })
      } else if (gate !== 'open' && !this.#isSettled()) this.#set({ phase: gate })
      before = gate
    }
    watch(this.#deps.gate, see, abort)
    const usable = computed(() => this.#isUsable())
    watch(usable, (isUsable) => isUsable || this.#forgetFailed(), abort)
  }

  /** As far as we know: only then it says something that an API node cannot use us. */
  #isUsable(): boolean {
    return this.#deps.serving.value && this.#deps.gate.value === 'open'
  }

  /** Without an engine or a tunnel it is no wonder, and what the API node said before says nothing of the time after. */
  #forgetFailed(): void {
    this.#seenFailed = 0
    if (this.#view.peek().problem?.code === 'node-seen-failed') this.#set({}, undefined)
  }

  /** @returns ms until the next round */
  async #round(abort: AbortSignal): Promise<number> {
    const { gate } = this.#deps
    const looked = (gate.peek() === 'open' && (await this.#useAhead())) || (await this.#look(abort))
    if (typeof looked === 'number') return looked
    const closed = gate.peek()
    this.#isRefused = false
    if (closed === 'open') return this.#settle(looked, abort)
    this.#ahead = looked
    if (!this.#isSettled()) this.#set({ phase: closed }, undefined)
    return this.#verifyWait()
  }

  /** What was seen while the gate was closed, where that leaves something to post: judged by what we would send now. */
  async #useAhead(): Promise<Looked | undefined> {
    const { clock, timing } = this.#deps
    const ahead = this.#ahead
    this.#ahead = undefined
    if (!ahead || clock.now() - ahead.at >= 1.5 * timing.verifyEvery) return undefined
    const now = await compareNow(this.#deps, this.#id, ahead)
    return 'code' in now || now.differences.length === 0 ? undefined : now
  }

  async #settle(looked: Looked, abort: AbortSignal): Promise<number> {
    if (looked.differences.length === 0) return this.#verified(looked, abort)
    const differences = looked.differences.join('; ')
    if (this.#posts >= 2 && (this.#survived ?? differences) === differences) return this.#differs(differences)
    if (this.#posts >= 2) this.#posts = 0
    this.#survived = undefined
    return this.#post(looked, abort)
  }

  async #post(looked: Looked, abort: AbortSignal): Promise<number> {
    const { client, config, timing } = this.#deps
    if (this.#view.peek().phase !== 'registered') this.#set({ phase: 'registering' })
    const ask = { method: 'POST' as const, path: config.endpoint, body: looked.body, timeoutMs: timing.postTimeout }
    const verdict = judgeAnswer(await client.send(ask, abort), `POST ${config.endpoint} at ${client.address}`)
    if (abort.aborted) return 0
    this.#isRefused = verdict.kind === 'final'
    if (verdict.kind !== 'ok') return this.#trouble(verdict)
    this.#posts += 1
    this.#remember(looked.body, this.#isLeft())
    const again = await this.#look(abort)
    if (typeof again === 'number') return again
    if (again.differences.length > 0 && this.#posts < 2) return timing.secondPost
    return this.#settle(again, abort)
  }

  /** @returns what the API node lists, or ms to wait when it could not be asked */
  async #look(abort: AbortSignal): Promise<Looked | number> {
    const looked = await look(this.#deps, this.#id, abort)
    if (abort.aborted) return 0
    if ('code' in looked) return this.#trouble(looked)
    this.#failures = 0
    const { body, listed, differences } = looked
    this.#set({
      announced: describeAnnounced(body),
      registeredId: listed ? this.#id : undefined,
      seenAs: listed?.status,
      differences: differences.map((one) => this.#deps.secrets.redact(one)),
    })
    return looked
  }

  async #verified({ body, listed }: Looked, abort: AbortSignal): Promise<number> {
    const { serving, timing, optional } = this.#deps
    this.#posts = 0
    this.#survived = undefined
    const verified = { phase: 'registered' as const, lastVerified: this.#now() }
    const isFailed = listed?.status === 'FAILED' && this.#isUsable()
    this.#seenFailed = isFailed ? this.#seenFailed + 1 : 0
    const isLeft = this.#isLeft()
    const isBack = isLeft && (await this.#enable(listed, abort))
    this.#set(verified, this.#judgeListed(listed, isBack))
    this.#remember(body, isLeft && !isBack)
    const problem = serving.peek() ? await optional.use(abort) : undefined
    if (problem) this.#set({}, problem)
    return isFailed ? timing.recheckFailed : this.#verifyWait()
  }

  /** What is wrong although the record is right. */
  #judgeListed(listed: Listed | undefined, isBack: boolean): Problem | undefined {
    const { client } = this.#deps
    if (listed && !listed.enabled && !isBack)
      return toProblem('registration-disabled', `${this.#id} at ${client.address}`)
    if (this.#seenFailed < 2) return undefined
    return this.#toProblem('node-seen-failed', `${client.address} says: ${listed?.reason || 'FAILED'}`)
  }

  /** Undoes our own `leave`, and only that. */
  async #enable(listed: Listed | undefined, abort: AbortSignal): Promise<boolean> {
    const { client, config, timing } = this.#deps
    if (!listed || listed.enabled) return true
    const path = `${config.endpoint}/${encodeURIComponent(this.#id)}/enable`
    const answer = await client.send({ method: 'POST', path, timeoutMs: timing.postTimeout }, abort)
    return judgeAnswer(answer, path).kind === 'ok'
  }

  #differs(differences: string): number {
    const { client, timing, random } = this.#deps
    this.#survived = differences
    this.#set({ phase: 'differs' }, this.#toProblem('registration-differs', `${client.address}: ${differences}`))
    return spread(timing.refusedFrom, timing.refusedTo, random())
  }

  #trouble(verdict: Trouble): number {
    const { timing, random, gate } = this.#deps
    const isFinal = verdict.kind === 'final'
    const was = this.#view.peek().phase
    const closed = gate.peek()
    const phase = isFinal ? 'refused' : 'unreachable'
    this.#set(
      { phase: was === 'registered' ? was : closed === 'open' ? phase : closed },
      this.#toProblem(verdict.code, verdict.evidence),
    )
    if (isFinal) return spread(timing.refusedFrom, timing.refusedTo, random())
    this.#failures += 1
    return judgeRetry(timing, this.#failures, random())
  }

  /** Waits, or until the gate opens (which mends nothing that is final). All tunnels of a server come back together, so a known record waits a little more. */
  async #rest(ms: number, seen: number, abort: AbortSignal): Promise<void> {
    const { clock, random, timing } = this.#deps
    const side = new AbortController()
    const forget = onAbort(abort, () => side.abort())
    const opened = until(this.#openings, (count) => count !== seen, side.signal).catch(() => 0)
    const isFinal = this.#isRefused || (this.#isSettled() && this.#view.peek().phase !== 'registered')
    await Promise.race([clock.wait(ms, side.signal), ...(isFinal ? [] : [opened])])
    side.abort()
    forget()
    const isTunnel = this.#openings.peek() !== seen && this.#openedFrom === 'waiting-tunnel'
    const isKnown = this.#view.peek().phase === 'registered' || this.#failures > 0
    if (isTunnel && isKnown) await clock.wait(spread(0, timing.tunnelSpread, random()), abort)
  }

  /** What the API node said counts, whatever becomes of our engine and tunnel. */
  #isSettled(): boolean {
    return ['registered', 'refused', 'differs'].includes(this.#view.peek().phase)
  }

  #verifyWait(): number {
    const { timing, random } = this.#deps
    return spread(0.8 * timing.verifyEvery, 1.2 * timing.verifyEvery, random())
  }

  #remember(body: RegistrationBody, left: boolean): void {
    const { remembered, client } = this.#deps
    const tokenDigest = toDigest(body.auth_token)
    const registeredAt = remembered.find(client.address, this.#id)?.registeredAt ?? this.#now()
    const record = { apiNode: client.address, id: this.#id, registeredAt }
    remembered.put({ ...record, ...(left && { left }), ...(tokenDigest && { tokenDigest }) })
  }

  #isLeft(): boolean {
    return this.#deps.remembered.find(this.#deps.client.address, this.#id)?.left === true
  }

  #toProblem(code: ApiNodeProblemCode, evidence: string) {
    return toProblem(code, this.#deps.secrets.redact(evidence))
  }

  #now(): string {
    return new Date(this.#deps.clock.wall()).toISOString()
  }

  /** Without a second argument the problem stays. One log line per transition. */
  #set(change: Partial<Record<keyof ApiNodeView, unknown>>, ...problem: [ApiNodeView['problem']] | []): void {
    const old = this.#view.peek()
    const next = { ...old, ...change, ...(problem.length > 0 && { problem: problem[0] }) } as ApiNodeView
    const isSame = next.phase === old.phase && next.problem?.code === old.problem?.code
    this.#view.value = isSame ? next : { ...next, since: this.#now() }
    if (isSame) return
    const fields = { apiNode: next.address, id: this.#id, phase: next.phase }
    if (next.problem)
      this.#deps.log.warn(
        { ...fields, code: next.problem.code, evidence: next.problem.evidence },
        'api node has a problem',
      )
    else this.#deps.log.info({ ...fields, announced: next.announced }, `api node: ${next.phase}`)
  }
}
