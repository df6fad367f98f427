// What a registration body must look like (contracts/api-nodes.md 3.3). Unknown keys pass: API nodes ignore them.
import { z } from 'zod'

/** Of one place in a JSON value; `message` reads `what is wrong; what to write instead` and holds nothing of the value. */
export type JsonFinding = { path: readonly PropertyKey[]; message: string }

/** For zod: these words wherever a value is not what it must be. */
const say = (wrong: string, instead: string) => ({
  error: ({ input }: { input?: unknown }) => `${input === undefined ? 'is missing' : wrong}; write ${instead}`,
})

const notText = 'is not a text'
const portNumber = z
  .int(say('is not a whole number', 'a port from 1 to 65535'))
  .refine((port) => port >= 1 && port <= 65535, say('is no port', 'one from 1 to 65535'))
const hostText = say('is no host', 'a name or address without scheme: API nodes paste it after http://')
const segment = z.string(say(notText, 'a path such as "/v1", or remove it')).optional()
const args = z.array(z.string(say(notText, 'it between double quotes: every argument is a text')), {
  ...say('is not a list', '["--max-model-len","8192"], or remove it'),
})
const model = z.looseObject({ args: args.optional() }, say('is not an object', '{"args":[]}'))
const oneModel = say('names no model', '{"ORG/NAME":{"args":[]}}')
const hardware = z.looseObject(
  {
    type: z.string(say(notText, 'the name of the GPU, for example "NVIDIA H100 80GB HBM3 | 79GB"')),
    count: z.int(say('is not a whole number', 'how many there are, for example 8')),
  },
  say('is not an object', '{"type":"NVIDIA H100 80GB HBM3 | 79GB","count":8}'),
)

const registrationBody = z.looseObject({
  id: z
    .string(say(notText, 'the id of this node'))
    .refine((id) => id.trim() !== '', say('is blank', 'the id of this node')),
  host: z
    .string(hostText)
    .refine((host) => host.trim() !== '' && !/^\w+:\/\//.test(host), hostText)
    .optional(),
  inference_port: portNumber.optional(),
  poc_port: portNumber.optional(),
  inference_segment: segment,
  poc_segment: segment,
  base_url: z
    .url({ protocol: /^https?$/, ...say('is no address', 'one such as "https://node.example/path"') })
    .optional(),
  auth_token: z.string(say(notText, 'the token between double quotes, or remove it')).optional(),
  max_concurrent: z
    .int(say('is not a whole number', 'how many requests at once, for example 500'))
    .refine((count) => count > 0, say('is not above 0', 'how many requests at once, for example 500')),
  models: z
    .record(
      z.string().refine((name) => name.trim() !== ''),
      model,
      oneModel,
    )
    .refine((models) => Object.keys(models).length > 0, oneModel),
  hardware: z.array(hardware, say('is not a list', '[{"type":"NVIDIA H100 80GB HBM3 | 79GB","count":8}]')).optional(),
})

export type RegistrationBody = z.output<typeof registrationBody>

/** Everything that is wrong with it. `host` and ports, or `base_url`, never both. */
export function checkRegistration(value: Record<string, unknown>): JsonFinding[] {
  const found = registrationBody.safeParse(value)
  if (!found.success)
    return found.error.issues.map(({ code, path, message }) =>
      code === 'invalid_key'
        ? { path: path.slice(0, -1), message: 'has a model without a name; write ORG/NAME' }
        : { path, message },
    )
  const { host, inference_port: inference, poc_port: poc, base_url: url } = found.data
  if (url && (host || inference || poc))
    return [{ path: ['base_url'], message: 'excludes host, inference_port and poc_port; remove it, or those three' }]
  if (url || (host && inference && poc)) return []
  const missing = Object.entries({ host, inference_port: inference, poc_port: poc }).flatMap(([name, one]) =>
    one ? [] : [name],
  )
  return [
    { path: [], message: `has no ${missing.join(', no ')}; write host, inference_port and poc_port, or base_url` },
  ]
}

/** `hardware[0].count`, `models["org/name"].args`. Pure. */
export function renderJsonPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    const name = String(key)
    if (!/^[A-Za-z_]\w*$/.test(name)) return `${text}[${JSON.stringify(name)}]`
    return text === '' ? name : `${text}.${name}`
  }, '')
}
