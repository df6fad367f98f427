// `gonka-node completion bash`: sourced by profile.d; offers verbs and flags.
import { UsageError, exits, type Verb } from './verb.ts'
import { verbs } from './verbs.ts'

export const completion: Verb = {
  usage: 'bash|zsh',
  summary: 'prints the shell completion, for `source <(gonka-node completion bash)`',
  options: {},
  positionals: 1,
  async run({ positionals, out }) {
    const [shell] = positionals
    if (shell !== 'bash' && shell !== 'zsh') throw new UsageError('needs the name of the shell: bash or zsh')
    out.write(renderCompletion(await listFlags(), shell))
    return exits.ok
  },
}

export async function listFlags(): Promise<Record<string, string[]>> {
  const entries = Object.entries(verbs).map(async ([name, load]) => {
    const verb = await load()
    return [name, Object.keys(verb.options).map((flag) => `--${flag}`)] as const
  })
  return Object.fromEntries(await Promise.all(entries))
}

/** Pure. */
export function renderCompletion(flags: Record<string, string[]>, shell: 'bash' | 'zsh'): string {
  const cases = Object.entries(flags).map(([name, list]) => `    ${name}) words="${[...list, '--help'].join(' ')}" ;;`)
  return `${shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_gonka_node() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words
  if [ "$COMP_CWORD" -eq 1 ]; then words="${[...Object.keys(flags), 'help'].join(' ')}"
  else case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="" ;;
  esac; fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
}
complete -o default -F _gonka_node gonka-node
`
}
