// `npm run conformance -- --url http://HOST:8000 [--grpc HOST:8001] [--key K]`: is it a launch service as its clients expect it?
// Starts launches on two GPUs of the service and stops them. Exit status 1 when a case fails, 2 for a wrong command line.
import { exec } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { type Outcome, runCase } from './case.ts'
import { cases } from './cases.ts'
import { createTarget, type TargetOptions } from './target.ts'

const usage = `npm run conformance -- --url http://HOST:8000 [flags]

--url URL            of the REST service
--grpc HOST:PORT     of the gRPC service; without it its cases are left out
--key KEY            access key; without it the cases about keys are left out
--model NAME         one that loads and generates (rehearsal/tiny-1b)
--embed-model NAME   one that embeds (that of --model)
--bad-model NAME     one that does not load (conformance/absent)
--gpus 0,1           two that nobody uses
--timeout 120        s for one load
--env NAME=value     what the service was started with, several times: cases about a variable need it
--kill COMMAND       kills the processes of the launch in $LAUNCH_ID
--restart COMMAND    kills the service and starts it again; returns when it answers
--only WORD          cases whose part or title has it: A1.8, "defect 2", stop; several times
--without WORD       the contrary; against the old service: --without defect --without ours
--json               one line of JSON per case`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      grpc: { type: 'string' },
      key: { type: 'string' },
      model: { type: 'string', default: 'rehearsal/tiny-1b' },
      'embed-model': { type: 'string' },
      'bad-model': { type: 'string', default: 'conformance/absent' },
      gpus: { type: 'string', default: '0,1' },
      timeout: { type: 'string', default: '120' },
      env: { type: 'string', multiple: true, default: [] },
      kill: { type: 'string' },
      restart: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      without: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  const gpus = values.gpus.split(',').map(Number)
  const [first, second, ...more] = gpus
  if (
    values.url === undefined ||
    first === undefined ||
    second === undefined ||
    more.length > 0 ||
    gpus.includes(Number.NaN)
  )
    throw new TypeError(values.url === undefined ? '--url is missing' : `--gpus ${values.gpus}: give two numbers`)
  const target = createTarget({
    url: values.url,
    grpc: values.grpc,
    key: values.key,
    model: values.model,
    embedModel: values['embed-model'] ?? values.model,
    badModel: values['bad-model'],
    gpus: [first, second],
    patience: Number(values.timeout) * 1000,
    environment: Object.fromEntries(values.env.map(parseVariable)),
    ...toHooks(values),
  })
  const has = ({ of, title }: { of: string; title: string }, word: string) =>
    of === word || `${of} ${title}`.includes(word)
  const chosen = cases.filter(
    (one) =>
      (values.only.length === 0 || values.only.some((word) => has(one, word))) &&
      !values.without.some((word) => has(one, word)),
  )
  const outcomes: Outcome[] = []
  try {
    for (const one of chosen) {
      const outcome = await runCase(one, target)
      outcomes.push(outcome)
      process.stdout.write(values.json ? `${JSON.stringify(outcome)}\n` : render(outcome))
    }
  } finally {
    await target.clear()
  }
  const count = (result: Outcome['result']) => outcomes.filter((one) => one.result === result).length
  if (!values.json)
    process.stdout.write(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped\n`)
  return count('failed') > 0 || count('passed') === 0 ? 1 : 0
}

function parseVariable(text: string): [string, string] {
  const [name = '', ...value] = text.split('=')
  if (name === '' || value.length === 0) throw new TypeError(`--env ${text}: write NAME=value`)
  return [name, value.join('=')]
}

function toHooks({ kill, restart }: { kill?: string; restart?: string }): Pick<TargetOptions, 'kill' | 'restart'> {
  const run = async (command: string, environment: object = {}) => {
    await promisify(exec)(command, { env: { ...process.env, ...environment }, timeout: 120_000 })
  }
  return {
    kill: kill === undefined ? undefined : (LAUNCH_ID) => run(kill, { LAUNCH_ID }),
    restart: restart === undefined ? undefined : () => run(restart),
  }
}

function render({ of, title, result, why, ms }: Outcome): string {
  const head = `${result.padEnd(8)}${of.padEnd(10)}${title} (${ms} ms)\n`
  return why === undefined
    ? head
    : `${head}${' '.repeat(18)}${why
        .split('\n')
        .slice(0, 12)
        .join(`\n${' '.repeat(18)}`)}\n`
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof TypeError)) throw error
  process.stderr.write(`conformance: ${error.message}\n\n${usage}\n`)
  process.exitCode = 2
}
