// `gonka-node completion bash`: offers verbs, their words and flags. install.sh puts the script of each shell where that looks.
import { UsageError, exits, type Verb } from './verb.ts'
import { verbs } from './verbs.ts'

export const completion: Verb = {
  usage: 'bash|zsh',
  summary: 'prints the shell completion, for `source <(gonka-node completion bash)`',
  help: 'install.sh puts both where the shells look by themselves: on an instance nothing is to be done.',
  options: {},
  words: ['bash', 'zsh'],
  positionals: 1,
  async run({ positionals, out }) {
    const [shell] = positionals
    if (shell !== 'bash' && shell !== 'zsh') throw new UsageError('needs the name of the shell: bash or zsh')
    out.write(renderCompletion(await listWords(), shell))
    return exits.ok
  },
}

/** What may follow each verb. */
export async function listWords(): Promise<Record<string, string[]>> {
  const entries = Object.entries(verbs).map(async ([name, load]) => {
    const verb = await load()
    return [name, [...(verb.words ?? []), ...Object.keys(verb.options).map((flag) => `--${flag}`), '--help']] as const
  })
  return { ...Object.fromEntries(await Promise.all(entries)), help: Object.keys(verbs) }
}

/** Pure. */
export function renderCompletion(words: Record<string, string[]>, shell: 'bash' | 'zsh'): string {
  return shell === 'bash' ? renderBash(words) : renderZsh(words)
}

function renderBash(words: Record<string, string[]>): string {
  const cases = Object.entries(words).map(([name, list]) => `    ${name}) words="${list.join(' ')}" ;;`)
  return `_gonka_node() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words
  if [ "$COMP_CWORD" -eq 1 ]; then words="${Object.keys(words).join(' ')}"
  else case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="" ;;
  esac; fi
  COMPREPLY=( $(compgen -W "$words" -- "$word") )
}
complete -o default -F _gonka_node gonka-node
`
}

/** Sourced, or found by compinit as `_gonka-node` in a folder of $fpath. Files where no word fits, as in bash. */
function renderZsh(words: Record<string, string[]>): string {
  const cases = Object.entries(words).map(([name, list]) => `    ${name}) offered=(${list.join(' ')}) ;;`)
  return `#compdef gonka-node
_gonka_node() {
  local -a offered
  if (( CURRENT == 2 )); then offered=(${Object.keys(words).join(' ')})
  else case "\${words[2]}" in
${cases.join('\n')}
  esac; fi
  compadd -a -- offered || _files
}
if [[ "\${funcstack[1]}" == _gonka-node ]]; then _gonka_node "$@"
else
  (( $+functions[compdef] )) || { autoload -U compinit && compinit }
  compdef _gonka_node gonka-node
fi
`
}
