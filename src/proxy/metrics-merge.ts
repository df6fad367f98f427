// Prometheus texts of several engines as one: each sample gets an `engine` label, each family one HELP and TYPE. Pure.

export type EngineMetrics = { engine: string; text: string }

type Family = { head: string[]; samples: string[] }

export function mergeMetrics(all: readonly EngineMetrics[]): string {
  const families = new Map<string, Family>()
  for (const { engine, text } of all) addText(families, `engine="${escapeLabel(engine)}"`, text)
  const lines = [...families.values()].flatMap(({ head, samples }) => [...head, ...samples])
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

function addText(families: Map<string, Family>, label: string, text: string): void {
  let current: { name: string; family: Family } | undefined
  for (const line of text.split('\n')) {
    const head = /^# (HELP|TYPE) (\S+)/.exec(line)
    if (head) {
      const [, kind = '', name = ''] = head
      const family = take(families, name)
      current = { name, family }
      if (!family.head.some((one) => one.startsWith(`# ${kind} `))) family.head.push(line)
      continue
    }
    const sample = /^([A-Za-z_:][\w:]*)(\{.*\})?(\s+\S.*)$/.exec(line)
    if (!sample) continue
    const [, name = '', labels = '', value = ''] = sample
    // Samples of a histogram (`_bucket`, `_sum`, …) stand behind the TYPE of their family.
    const family = current && name.startsWith(current.name) ? current.family : take(families, name)
    family.samples.push(`${name}${addLabel(labels, label)}${value.trimEnd()}`)
  }
}

function take(families: Map<string, Family>, name: string): Family {
  const found = families.get(name)
  if (found) return found
  const family: Family = { head: [], samples: [] }
  families.set(name, family)
  return family
}

/** vLLM has an `engine` label of its own (its data-parallel rank): ours replaces it, a label twice is invalid. */
function addLabel(labels: string, label: string): string {
  const rest = labels
    .slice(1, -1)
    .replace(/(^|,)engine="(?:[^"\\]|\\.)*"/, '')
    .replace(/^,|,$/g, '')
  return rest === '' ? `{${label}}` : `{${label},${rest}}`
}

function escapeLabel(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`)
}
