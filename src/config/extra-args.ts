// Which vLLM arguments the daemon sets itself and so refuses in EXTRA_VLLM_ARGS (D6, D8), in every spelling of vLLM's parser.

const owned: Record<string, string> = {
  '--host': 'engines listen on loopback',
  '--port': 'engines take INFERENCE_PORT + 1 upwards',
  '--uds': 'engines listen on loopback',
  '--api-key': 'set VLLM_ACCESS_KEY for the control listener instead',
  '--served-model-name': 'the name is that of MODEL_NAME, as the API nodes expect it',
  '--model': 'set MODEL_NAME instead',
  '--config': 'write its arguments here one by one instead',
}

/** @returns what is wrong with these words and what to do, or undefined */
export function checkExtraArgs(words: readonly string[]): string | undefined {
  for (const word of words) {
    const name = ownedFlag(word)
    if (name) return `holds ${name}, which the daemon sets itself (${owned[name]}); remove it`
  }
  return undefined
}

/** vLLM takes _ for - and `--name=value`, and argparse any beginning of a name: no flag of vLLM is the beginning of one of these. */
function ownedFlag(word: string): string | undefined {
  const name = (word.split('=')[0] ?? '').replaceAll('_', '-').toLowerCase()
  return name.length > 3 && name.startsWith('--') ? Object.keys(owned).find((one) => one.startsWith(name)) : undefined
}
