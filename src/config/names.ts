// Every name that we know, and which unknown ones resemble them.
import { editDistance } from '../core/edit-distance.ts'
import { engineVariable } from './engine-env.ts'
import { fields } from './field-table.ts'
import { unusedVariables } from './unused-variables.ts'

const ours: ReadonlySet<string> = new Set([...fields.flatMap(({ names }) => names), ...Object.keys(unusedVariables)])

export const isOurs = (name: string) => ours.has(name)

/** Names that only we begin so: an unknown one of these is a mistake even where nothing is near. */
const ownPrefix =
  /^(GONKA|MLNODE|FRPC?|API_NODE|CLIENT_ID|REGISTRATION|INFERENCE|MODEL|NODE|TENSOR_PARALLEL|PIPELINE_PARALLEL|ORDER|DRAIN|ENGINE|SECRET_FRP)(_|$)/

/**
 * The known name that an unknown one was probably meant to be; undefined where it is somebody else's variable. In the
 * process environment, where anybody's variables are (HOME is near HOST), only near misses of long names count.
 */
export function pickNearest(name: string, from: 'file' | 'environment'): string | undefined {
  if (ours.has(name)) return undefined
  const patience = name.length < 6 ? (from === 'file' ? 1 : 0) : 2
  const isOwn = from === 'file' && ownPrefix.test(name) && !engineVariable(name)
  let best: { name: string; distance: number } | undefined
  for (const known of ours) {
    if (!isOwn && Math.abs(known.length - name.length) > patience) continue
    const distance = editDistance(name, known)
    if (!best || distance < best.distance) best = { name: known, distance }
  }
  if (best && best.distance <= patience) return best.name
  return isOwn ? best?.name : undefined
}
