// What an API node's answer means for us: done, worth a retry, or final (contracts/known-defects.md 6). Pure.
import type { ApiNodeProblemCode } from './problems.ts'

/** An HTTP answer, or why there was none. */
export type Answer =
  | { kind: 'answered'; status: number; text: string; location?: string }
  | { kind: 'failed'; how: 'unreachable' | 'silent' | 'garbage'; why: string }

/** ok holds the parsed body. final: sending the same again is pointless for a long time. transient: it is not. */
export type Verdict =
  | { kind: 'ok'; json: unknown }
  | { kind: 'final' | 'transient'; code: ApiNodeProblemCode; evidence: string }

/** @param asked `POST /admin/v1/nodes at 10.0.0.1:9200`, the beginning of the evidence */
export function judgeAnswer(answer: Answer, asked: string): Verdict {
  if (answer.kind === 'failed') {
    return { kind: 'transient', code: `api-node-${answer.how}`, evidence: `${asked}: ${answer.why}` }
  }
  const { status, text } = answer
  const evidence = `${asked} answered ${status}: ${readError(text)}`
  if (status === 200 || status === 201) return judgeBody(text, `${asked} answered ${status}`)
  if (status === 206) return { kind: 'final', code: 'registration-partial', evidence }
  if (status >= 300 && status < 400)
    return {
      kind: 'final',
      code: 'api-node-redirects',
      evidence: `${asked} answered ${status} to ${answer.location ?? 'nowhere'}`,
    }
  if (status === 401 || status === 403) return { kind: 'final', code: 'api-node-denies', evidence }
  if (status === 404 || status === 405) return { kind: 'final', code: 'api-node-no-admin', evidence }
  if (status === 408 || status === 409 || status === 425 || status === 429)
    return { kind: 'transient', code: 'api-node-failing', evidence }
  // An update that fails validation is a 500, and no retry mends it.
  const isFinal = status < 500 || /validation failed|governance/i.test(text)
  return isFinal
    ? { kind: 'final', code: judgeRefusal(text), evidence }
    : { kind: 'transient', code: 'api-node-failing', evidence }
}

/** `{"error": text}`, `{"error": {"error": text, "errors": […]}}`, `{nodes, errors}` or whatever else came, on one bounded line. */
export function readError(text: string): string {
  const line = (found: string) => found.replaceAll(/\s+/g, ' ').trim().slice(0, 500) || 'nothing'
  const parsed = toJson(text)
  return parsed === undefined ? line(text) : line(describeError(parsed))
}

function describeError(value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(describeError).join('; ')
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const { error, errors, message } = value as Record<string, unknown>
  const parts = [error, errors, message].filter((one) => one !== undefined).map(describeError)
  return parts.length > 0 ? parts.join(': ') : JSON.stringify(value)
}

function judgeRefusal(text: string): ApiNodeProblemCode {
  if (/governance/i.test(text)) return 'model-not-governed'
  if (/reserved/i.test(text)) return 'arguments-reserved'
  if (/duplicate .*host\+port|already used by node/i.test(text)) return 'address-taken'
  return 'registration-refused'
}

function judgeBody(text: string, evidence: string): Verdict {
  const json = toJson(text)
  return json === undefined
    ? { kind: 'transient', code: 'api-node-garbage', evidence: `${evidence} with what is no JSON: ${readError(text)}` }
    : { kind: 'ok', json }
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
