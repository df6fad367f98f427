// From the arguments of `vllm.LLM` that a client gives to flags of `vllm serve`. Pure.
import type { LaunchRequest } from '../api/launches.ts'
import { Refusal } from '../core/errors.ts'

/** What the daemon decides; another value would put the engine out of its reach. */
const owned = ['host', 'port', 'api_key', 'uds', 'config', 'served_model_name', 'ssl_keyfile', 'ssl_certfile']

export type LaunchArgs = {
  /** What is loaded: `model` of extra_kwargs, else the request's. */
  model: string
  /** One word per flag (`--flag=value`), so that no value can be taken for a flag. */
  args: readonly string[]
}

/** @throws Refusal 400 for what is no argument, and for what the daemon owns */
export function toLaunchArgs(
  request: Pick<LaunchRequest, 'model' | 'task' | 'extra_kwargs'>,
  gpus: number,
): LaunchArgs {
  const given = Object.entries(request.extra_kwargs)
    .map(([key, value]) => ({ key: toKey(key), value }))
    .filter((one) => !isToken(one))
  const named = new Set(given.map(({ key }) => key))
  const model = given.find(({ key }) => key === 'model')?.value ?? request.model
  if (typeof model !== 'string' || model.trim() === '')
    throw new Refusal('launch-argument-invalid', 400, 'extra_kwargs.model is not the name of a model')
  const usual = [
    ...(gpus > 0 && !named.has('tensor_parallel_size') ? [`--tensor-parallel-size=${gpus}`] : []),
    ...(request.task === 'embed' ? ['--task=embed'] : []),
  ]
  const extra = given.flatMap(({ key, value }) => (key === 'model' ? [] : renderArg(key, value)))
  const broken = extra.find((word) => word.includes('\0'))
  if (broken !== undefined)
    throw new Refusal('launch-argument-invalid', 400, `extra_kwargs has a NUL character: ${JSON.stringify(broken)}`)
  return { model: model.trim(), args: [...usual, ...extra] }
}

function toKey(given: string): string {
  const key = given.replaceAll('-', '_').toLowerCase()
  if (!/^[a-z][a-z0-9_.]*$/.test(key))
    throw new Refusal(
      'launch-argument-invalid',
      400,
      `extra_kwargs holds no argument of that name: ${JSON.stringify(given)}`,
    )
  if (isOwned(key))
    throw new Refusal('launch-argument-owned', 400, `extra_kwargs.${key} is decided by the daemon`, {
      remedy: `leave ${key} out`,
    })
  return key
}

/** Every user of the machine can read a command line, and the record of a launch is kept. null, true and false are no secret; nothing needs them. */
function isToken({ key, value }: { key: string; value: unknown }): boolean {
  const isIts = key.startsWith('hf_t') && 'hf_token'.startsWith(key)
  if (isIts && value !== null && typeof value !== 'boolean')
    throw new Refusal('launch-argument-secret', 400, 'extra_kwargs.hf_token: set HF_TOKEN in the env file instead')
  return isIts
}

/** argparse takes any beginning of a name, and vLLM `name.part` for a part: no option of vLLM is the beginning of one of these. */
function isOwned(key: string): boolean {
  const name = key.split('.')[0] ?? ''
  return owned.some((one) => one.startsWith(name))
}

function renderArg(key: string, value: unknown): string[] {
  const flag = key.replaceAll('_', '-')
  if (value === null || value === undefined) return []
  if (value === true) return [`--${flag}`]
  if (value === false) return [`--no-${flag}`]
  return [`--${flag}=${typeof value === 'object' ? JSON.stringify(value) : String(value as string | number)}`]
}
