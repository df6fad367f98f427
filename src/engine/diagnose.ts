// Why an engine ended, from the last lines of its log: root cause before symptom, evidence always one of its own lines.
import type { Problem } from '../api/status.ts'
import { engineProblem } from './problems.ts'
import type { Retry } from './signature.ts'
import { signatures } from './signatures.ts'

export type Diagnosis = { problem: Problem; retry: Retry }

/** How long an evidence may be: one line in status. */
const longestEvidence = 400

/**
 * @param lines oldest first, as written; a few hundred are enough, argparse alone prints 300
 * @param code exit status, 128+n for signals; undefined where unknown
 */
export function diagnose(lines: readonly string[], code: number | undefined): Diagnosis {
  const clean = lines.map(stripPrefix)
  for (const { code: name, title, remedy, retry, patterns, weak, dependsOn } of signatures) {
    const where = weak === 'hint' ? pickHintLines(clean, code) : clean
    const line = where.find((text) => !isEcho(text) && patterns.some((pattern) => pattern.test(text)))
    if (line === undefined) continue
    const problem = { code: name, title, remedy, evidence: toEvidence(line) }
    return { problem: dependsOn === undefined ? problem : { ...problem, dependsOn }, retry }
  }
  // Nobody but the kernel's OOM killer, or a person, sends SIGKILL to an engine.
  const killed = signatures.find((one) => one.row === 33)
  if (code === 137 && killed) {
    const { code: name, title, remedy, retry } = killed
    const problem = { code: name, title: `${title}, or somebody killed it`, remedy, evidence: 'ended by SIGKILL' }
    return { problem, retry }
  }
  const last = clean.filter((text) => text.trim() !== '').slice(-5)
  const evidence = [describeExit(code), ...last].join(' | ')
  return { problem: engineProblem('engine-exited', toEvidence(evidence)), retry: 'transient' }
}

/** Whether trying again can help. Codes that are none of ours: yes. */
export function judgeRetry(code: string): Retry {
  if (code === 'engine-not-launched') return 'soon'
  return signatures.find((one) => one.code === code)?.retry ?? 'transient'
}

export function describeExit(code: number | undefined): string {
  if (code === undefined) return 'ended without a status'
  return code > 128 ? `ended by signal ${code - 128}` : `exit ${code}`
}

/** Without colours and without `(EngineCore_DP0 pid=7) `. */
export function stripPrefix(line: string): string {
  return line.replaceAll(colours, '').replace(/^\(.*?pid=\d+\)\s*/, '')
}

// eslint-disable-next-line no-control-regex -- colours begin with an escape character
const colours = /\u001b\[[0-9;]*[A-Za-z]/g

/** Healthy engines print hints as well: they count as the last words before an exit by error alone. */
const pickHintLines = (lines: readonly string[], code: number | undefined): readonly string[] =>
  code !== undefined && code > 0 && code < 128 ? lines.slice(-20) : []

/** `ERROR 11-21 07:50:11 [core.py:708] ` */
const stamp = /^[A-Z]+ [\d-]+ [\d:]+ \[[^\]]*\] /

/** vLLM prints its whole configuration: `trust_remote_code=True` there is no failure. */
const isEcho = (text: string): boolean => /\bargs: |Namespace\(|engine .*with config:/.test(text)

function toEvidence(text: string): string {
  const bare = redactKeys(text.replace(stamp, '').trim())
  return bare.length > longestEvidence ? `${bare.slice(0, longestEvidence)}…` : bare
}

/** Keys in the arguments that vLLM prints (`api_key`), and tokens of the hub. */
export function redactKeys(text: string): string {
  return text
    .replaceAll(/(api[_-]?key['"]?\s*[:=]\s*)(\[[^\]]*\]|['"][^'"]*['"]|[^\s,)}]+)/gi, '$1[redacted]')
    .replaceAll(/(--api-key[= ])\S+/g, '$1[redacted]')
    .replaceAll(/\bhf_[A-Za-z0-9]{8,}/g, '[redacted]')
    .replaceAll(/(Bearer )[\w.~+/-]{8,}/g, '$1[redacted]')
}
