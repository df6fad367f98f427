// The command line: finds the verb, parses its flags, prints what went wrong in one way, sets the exit status.
import { parseArgs } from 'node:util'
import { Refusal, messageOf } from '../core/errors.ts'
import { createOutput } from './output.ts'
import { UsageError, type Output, type Verb, exitMeanings, exits } from './verb.ts'
import { isVerb, verbs } from './verbs.ts'

export async function main(argv: readonly string[]): Promise<void> {
  const out = createOutput()
  const status = await runCommand(argv, out)
  // `run` and streams set it themselves and keep the process alive; nobody else leaves anything open.
  if (status !== undefined) process.exitCode = status
}

export async function runCommand(argv: readonly string[], out: Output): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') return help(rest[0], out)
  if (name === '--version' || name === '-V') return runCommand(['version'], out)
  if (!isVerb(name)) return complainOf(name, out)
  const verb = await verbs[name]()
  try {
    const parsed = parseArgs({
      args: rest,
      options: { help: { type: 'boolean', short: 'h' }, ...verb.options },
      allowPositionals: true,
    })
    if ((parsed.values as Record<string, unknown>)['help'] === true) return help(name, out)
    if (parsed.positionals.length > verb.positionals)
      throw new UsageError(`unexpected "${parsed.positionals[verb.positionals]}"`)
    return await verb.run({
      positionals: parsed.positionals,
      flags: parsed.values as Record<string, string | boolean>,
      out,
    })
  } catch (error) {
    return await explain(error, name, verb, out)
  }
}

async function complainOf(name: string, out: Output): Promise<number> {
  const { pickNearestWord } = await import('../core/edit-distance.ts')
  const nearest = pickNearestWord(name, [...Object.keys(verbs), 'help'])
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
  out.complain(`gonka-node: "${name}" is no command${hint}\n\`gonka-node help\` lists them`)
  return exits.usage
}

/** parseArgs explains how a word with a dash is a positional argument, which is hardly ever what was meant. */
async function complainOfFlag(message: string, verb: Verb): Promise<string> {
  const [, flag] = /^Unknown option '(-[^']*)'/.exec(message) ?? []
  if (flag === undefined) return message
  const { pickNearestWord } = await import('../core/edit-distance.ts')
  const nearest = flag.startsWith('--') && pickNearestWord(flag.slice(2), ['help', ...Object.keys(verb.options)])
  return `${flag} is unknown${nearest ? `; did you mean --${nearest}?` : ''}`
}

async function explain(error: unknown, name: string, verb: Verb, out: Output): Promise<number> {
  if (
    error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
  ) {
    const what = error instanceof UsageError ? error.message : await complainOfFlag(error.message, verb)
    out.complain(`gonka-node ${name}: ${what}\nusage: gonka-node ${name} ${verb.usage}`)
    return exits.usage
  }
  if (error instanceof Refusal) {
    out.complain(`gonka-node ${name}: ${messageOf(error)}${error.remedy ? `\n  ${error.remedy}` : ''}`)
    return error.code === 'daemon-unreachable' ? exits.unavailable : exits.unhealthy
  }
  out.complain(`gonka-node ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  return exits.software
}

async function help(name: string | undefined, out: Output): Promise<number> {
  if (name !== undefined && !name.startsWith('-') && !isVerb(name) && name !== 'help') return complainOf(name, out)
  if (name !== undefined && isVerb(name)) {
    const verb = await verbs[name]()
    out.write(
      `${verb.summary}\n\nusage: gonka-node ${name} ${verb.usage}\n${verb.help ? `\n${verb.help.trim()}\n` : ''}`,
    )
    return exits.ok
  }
  const loaded = await Promise.all(
    Object.entries(verbs).map(async ([verb, load]) => ({ verb, summary: (await load()).summary })),
  )
  out.write(
    `usage: gonka-node COMMAND [flags]\n\n${loaded.map(({ verb, summary }) => `  ${verb.padEnd(12)}${summary}`).join('\n')}\n\n`,
  )
  const statuses = Object.entries(exitMeanings).map(([key, meaning]) => {
    return `  ${String(exits[key as keyof typeof exits]).padEnd(12)}${meaning}`
  })
  out.write(`Exit status:\n${statuses.join('\n')}\n\n\`gonka-node COMMAND --help\` says more.\n`)
  return exits.ok
}
