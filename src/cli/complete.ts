// `gonka-node complete`: one prompt to one launch, to see that it works.
import { Refusal } from '../core/errors.ts'
import { countOf, textOf } from './flags.ts'
import { parseGuided } from './guided-flags.ts'
import { findLaunch } from './pick-launch.ts'
import { listen } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { UsageError, exits, type Verb } from './verb.ts'

/** A line of `POST /launches/complete`; the last one has what is behind the text. */
type Piece = { text: string; finish_reason?: string; prompt_tokens?: number; completion_tokens?: number }

export const complete: Verb = {
  usage:
    'ID TEXT [--max-tokens N] [--temperature T] [--choice A --choice B… | --regex R | --json-schema S | --grammar G] [--json] [--socket PATH]',
  summary: 'lets a launch go on with a text, and prints it as it comes',
  help: `ID               of the launch, its beginning, or its name
--max-tokens N   at most so many (default 64)
--temperature T  0 and up (default: that of the engine)
--choice TEXT    the answer is one of these; several times
--regex R        it matches this regular expression
--json-schema S  it is JSON of this schema: a file, or the schema itself
--grammar G      it follows this grammar: a file, or the grammar itself
${socketHelp}`,
  options: {
    ...socketOption,
    'max-tokens': { type: 'string' },
    temperature: { type: 'string' },
    choice: { type: 'string', multiple: true },
    regex: { type: 'string' },
    'json-schema': { type: 'string' },
    grammar: { type: 'string' },
    json: { type: 'boolean' },
  },
  positionals: 2,
  async run({ positionals: [word, prompt], flags, out }) {
    if (word === undefined || prompt === undefined) throw new UsageError('needs a launch and a text')
    const maxTokens = countOf(flags, 'max-tokens') ?? 64
    const temperature = temperatureOf(textOf(flags, 'temperature'))
    const guided = await parseGuided(flags)
    const socket = pickSocket(flags)
    const { launch_id: id } = await findLaunch(socket, word)
    const body = {
      id,
      prompt,
      max_tokens: maxTokens,
      ...(temperature !== undefined && { temperature }),
      ...(guided && { guided_decoding: guided }),
    }
    const whole: Piece = { text: '' }
    for await (const { text, ...last } of listen<Piece>(socket, 'POST /launches/complete', body)) {
      Object.assign(whole, last, { text: whole.text + text })
      if (!flags['json']) out.write(text)
    }
    if (whole.finish_reason === undefined)
      throw new Refusal('completion-cut', 502, 'the text broke off: the engine or the daemon ended', {
        remedy: '`gonka-node launches` says how the launch is',
      })
    out.write(flags['json'] ? `${JSON.stringify(whole)}\n` : '\n')
    return exits.ok
  },
}

function temperatureOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d(\.\d+)?$/.test(text)) throw new UsageError(`--temperature "${text}" is no number from 0 to 9.9`)
  return Number(text)
}
