// Whether the record that an API node lists is the one that we sent. Only keys that we sent count, and not `hardware`, which the
// API node refreshes itself, nor `auth_token`, which it may hide. Pure.
import type { RegistrationBody } from '../config/registration-json.ts'

const notCompared = new Set(['hardware', 'auth_token', 'access', 'poc_hw'])

/** Of what GET /admin/v1/nodes lists, as far as we read it. */
export type Listed = {
  node: Record<string, unknown>
  status?: string
  pocStatus?: string
  reason?: string
  enabled: boolean
}

/** @returns one line per difference, `max_concurrent: 400 there, 500 here`; empty when equal */
export function judgeDifferences(sent: RegistrationBody, found: Record<string, unknown> | undefined): string[] {
  if (!found) return ['not registered']
  return Object.entries(sent)
    .filter(([key]) => !notCompared.has(key))
    .flatMap(([key, value]) => (key === 'models' ? compareModels(value, found[key]) : compare(key, value, found[key])))
}

/** The record with our id in the list, undefined where it is absent. Entries that are no records are skipped. */
export function pickListed(list: readonly unknown[], id: string): Listed | undefined {
  for (const item of list) {
    const entry = asObject(item)
    // Old versions list bare nodes.
    const node = asObject(entry?.['node']) ?? entry
    if (node?.['id'] !== id) continue
    const state = asObject(entry?.['state'])
    return {
      node,
      ...(typeof state?.['current_status'] === 'string' && { status: state['current_status'] }),
      ...(typeof state?.['poc_current_status'] === 'string' && { pocStatus: state['poc_current_status'] }),
      ...(typeof state?.['failure_reason'] === 'string' && { reason: state['failure_reason'] }),
      enabled: asObject(state?.['admin_state'])?.['enabled'] !== false,
    }
  }
  return undefined
}

/** The set of models counts whole: one more there is one that the broker may order. */
function compareModels(sent: unknown, found: unknown): string[] {
  const [here, there] = [asObject(sent) ?? {}, asObject(found) ?? {}]
  return [
    ...Object.keys(here).flatMap((model) =>
      model in there ? compare(`models.${model}`, here[model], there[model]) : [`models.${model}: missing there`],
    ),
    ...Object.keys(there).flatMap((model) => (model in here ? [] : [`models.${model}: there, not sent`])),
  ]
}

function compare(path: string, sent: unknown, found: unknown): string[] {
  const inner = asObject(sent)
  if (inner) {
    const other = asObject(found) ?? {}
    return Object.entries(inner).flatMap(([key, value]) => compare(`${path}.${key}`, value, other[key]))
  }
  return JSON.stringify(toBare(sent)) === JSON.stringify(toBare(found))
    ? []
    : [`${path}: ${show(found)} there, ${show(sent)} here`]
}

/** Go has no absent: an empty text or list may come back as null or not at all. */
function toBare(value: unknown): unknown {
  const empty = value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
  return empty ? null : value
}

function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value)
  return text.length > 160 ? `${text.slice(0, 160)}…` : text
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}
