// What a person sees who asks the command line for help, and what bash completes.
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { listWords, renderCompletion } from '../../src/cli/completion.ts'
import { runCommand } from '../../src/cli/main.ts'
import type { Output, Verb } from '../../src/cli/verb.ts'
import { verbs } from '../../src/cli/verbs.ts'

type Heard = Output & { out: string; err: string }

function listenIn(): Heard {
  return {
    out: '',
    err: '',
    colours: false,
    columns: 100,
    write(text) {
      this.out += text
    },
    complain(text) {
      this.err += `${text}\n`
    },
  }
}

test('help lists every verb with its summary', async () => {
  const heard = listenIn()
  expect(await runCommand(['help'], heard)).toBe(0)
  for (const [name, load] of Object.entries(verbs)) {
    expect(heard.out).toMatch(new RegExp(`^  ${name} +\\S`, 'm'))
    expect(heard.out).toContain((await load()).summary)
  }
})

test.each(Object.entries(verbs))('the help of %s says how it is used and names every option', async (name, load) => {
  const verb: Verb = await load()
  const [heard, asked] = [listenIn(), listenIn()]
  expect(await runCommand([name, '--help'], heard)).toBe(0)
  expect(await runCommand(['help', name], asked)).toBe(0)
  expect(asked.out).toBe(heard.out)
  expect(heard.out).toContain(`usage: gonka-node ${name}`)
  for (const [flag, { short }] of Object.entries(verb.options)) {
    expect(verb.usage, `usage of ${name}`).toContain(`--${flag}`)
    expect(verb.help, `help of ${name}`).toMatch(new RegExp(`^${short ? `-${short}, ` : ''}--${flag}\\b`, 'm'))
  }
  const tooWide = heard.out.split('\n').filter((line) => line.length > 130 && !line.startsWith('usage:'))
  expect(tooWide).toEqual([])
})

test.each([
  [['stauts'], 'gonka-node: "stauts" is no command; did you mean status?\n`gonka-node help` lists them\n'],
  [['lau'], /did you mean launch\?/],
  [['help', 'tunels'], /"tunels" is no command; did you mean tunnels\?/],
  [['frobnicate'], 'gonka-node: "frobnicate" is no command\n`gonka-node help` lists them\n'],
  [
    ['version', '--jsno'],
    /^gonka-node version: --jsno is unknown; did you mean --json\?\nusage: gonka-node version \[--json\]\n$/,
  ],
  [['launch', 'm', '--gpu-cuont', '1'], /--gpu-cuont is unknown; did you mean --gpu-count\?\nusage: /],
  [['stop', '-x', 'm'], /^gonka-node stop: -x is unknown\nusage: /],
  [['status', '--watch=yes'], /'-w, --watch' does not take an argument/],
  [['launch', 'm', '--gpus'], /'--gpus <value>' argument missing/],
  [['version', 'twice'], /unexpected "twice"/],
  [['launch', 'm', 'n'], /unexpected "n"/],
  [['poc', 'start'], /"start" is unknown; the only order is stop/],
  [['config', 'chek'], /"chek" is unknown; write check FILE/],
  [['completion', 'fish'], /bash or zsh/],
  [['logs', '--lines', 'many'], /--lines needs a number/],
  [['logs', 'first', '--list'], /"first" is no slot/],
  [['launch', 'm', '--wait', '--timeout', 'soon'], /--timeout "soon" is no duration; write 90s, 30m or 1h/],
  [['launch', 'm', '--min-free-mib', '-1'], /--min-free-mib/],
  [['launch', 'm', '--idle-stop', '0s'], /--idle-stop "0s" is no duration/],
  [['complete', 'x', 'y', '--max-tokens', '0'], /--max-tokens "0" is no number above 0/],
  [['rehearse', '--gpus', 'two'], /--gpus needs a number from 0 to 64, not "two"/],
  [['rehearse', '--tp', '0'], /--tp needs a number from 1 to 64, not "0"/],
  [['rehearse', '--port', 'nod=1'], /--port nod is unknown; the ports are node, inference/],
  [['rehearse', '--until', 'rich'], /the only one is mining/],
  [['engines', '0'], /unexpected "0"/],
  [['tunnels', 'x'], /unexpected "x"/],
  [['api-nodes', 'x'], /unexpected "x"/],
  [['launches', 'x'], /unexpected "x"/],
  [['stats', 'x'], /unexpected "x"/],
  [['leave', '0042'], /unexpected "0042"/],
  [['run', 'now'], /unexpected "now"/],
  [['prepare', 'now'], /unexpected "now"/],
  [['sweep', 'now'], /unexpected "now"/],
  [['stop'], /needs the id or name of a launch/],
] as const)(
  '%j is told in words, with what was probably meant: exit 2, and nothing is asked',
  async (words, wanted) => {
    const heard = listenIn()
    expect(await runCommand([...words], heard)).toBe(2)
    expect(heard.err).toMatch(wanted)
    expect(heard.out).toBe('')
  },
)

test.each([
  [['gonka-node', 'ap'], ['api-nodes']],
  [['gonka-node', 'poc', 'st'], ['stop']],
  [['gonka-node', 'leave', '--d'], ['--delete']],
  [['gonka-node', 'help', 'tun'], ['tunnels']],
  [['gonka-node', 'nonsense', '--'], []],
])('bash completes %j to %j', async (typed, offered) => {
  const words = typed.map((word) => `'${word}'`).join(' ')
  const script = `${renderCompletion(await listWords(), 'bash')}
COMP_WORDS=(${words}); COMP_CWORD=${typed.length - 1}; _gonka_node; echo "\${COMPREPLY[@]}"`
  const answer = execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8', timeout: 20_000 })
  expect(answer.split(/\s+/).filter(Boolean)).toEqual(offered)
})
