// README's table of variables and the example env file, both made from the schema. Pure; a test holds the files to it.
import { engineNames, enginePrefixes } from './engine-env.ts'
import { type Field, fields, type SliceName } from './field-table.ts'
import { renderPortable } from './portable.ts'
import { unusedVariables } from './unused-variables.ts'

const titles: Record<SliceName, string> = {
  registration: 'Who the node is',
  tunnels: 'Tunnels',
  engine: 'Engines',
  models: 'Models',
  poc: 'PoC',
  listeners: 'Listeners',
  launches: 'Launch service',
  host: 'The machine',
}

/** All tables of variables, one per slice. */
export function renderVariables(): string {
  const parts = partsOf().map(([slice, own]) => `### ${titles[slice]}\n\n${renderTable(own)}`)
  return [...parts, renderEngines(), renderUnused()].join('\n\n')
}

/** gonka-container.env.example: every variable with its default, commented out, in a spelling that every reader shares. */
export function renderExample(): string {
  const head = [
    '# Configuration of gonka-node: /etc/gonka-container.env, root:gonka, mode 0640.',
    '# Lines are NAME=value, read as text and never run by a shell. Quote whatever is not plain with single quotes.',
    '# A node of the network needs API_NODES, CLIENT_ID and MODEL_NAME. Everything else has a default, which is shown.',
  ]
  const parts = partsOf().map(([slice, own]) =>
    [`## ${titles[slice]}`, ...own.filter(isForFile).flatMap(renderExampleField)].join('\n'),
  )
  return `${[head.join('\n'), ...parts].join('\n\n')}\n`
}

function partsOf(): [SliceName, Field[]][] {
  const slices = Object.keys(titles) as SliceName[]
  return slices.map((slice) => [slice, fields.filter((one) => one.slice === slice)])
}

function renderTable(own: readonly Field[]): string {
  const rows = own.map(({ names, meta }) => {
    const name = names.map((one) => `\`${one}\``).join(' or ')
    const secret = meta.secret ? ' Secret' : ''
    return `| ${name} | ${meta.shown ? `\`${meta.shown}\`` : ''} | ${escapeCell(meta.doc)}.${secret && `${secret}.`} |`
  })
  return ['| Variable | Default | Meaning |', '| --- | --- | --- |', ...rows].join('\n')
}

function renderEngines(): string {
  // The knobs of a rehearsal are nobody's settings.
  const prefixes = enginePrefixes.filter((one) => !one.startsWith('REHEARSAL'))
  const names = [...prefixes.map((one) => `\`${one}*\``), ...engineNames.map((one) => `\`${one}\``)].join(', ')
  return `### What goes on to engines\n\nWhat is set of ${names} goes on to engines as it is, except the variables above, those below, and keys and tokens.`
}

function renderUnused(): string {
  const rows = Object.entries(unusedVariables).map(([name, { why, warns }]) => {
    return `| \`${name}\` | ${escapeCell(why)}${warns ? ' (a warning says so)' : ''} |`
  })
  return ['### Accepted and not used', '', '| Variable | Why |', '| --- | --- |', ...rows].join('\n')
}

/** Where the file is cannot be said in the file. */
const isForFile = ({ meta }: Field) => meta.env !== 'GONKA_ENV_FILE'

function renderExampleField({ names, meta }: Field): string[] {
  const also = names.length > 1 ? ` (also ${names.slice(1).join(', ')})` : ''
  return [`# ${meta.doc}${also}`, `#${renderPortable(meta.env, meta.shown ?? '') ?? `${meta.env}=`}`]
}

const escapeCell = (text: string) => text.replaceAll('|', '\\|')
