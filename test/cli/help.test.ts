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

test('what is no command, or a flag that a command does not have, is told with where to look', async () => {
  const heard = listenIn()
  expect(await runCommand(['stauts'], heard)).toBe(2)
  expect(heard.err).toContain('gonka-node help')
  expect(await runCommand(['version', '--jsno'], heard)).toBe(2)
  expect(heard.err).toContain('usage: gonka-node version [--json]')
  expect(await runCommand(['version', 'twice'], heard)).toBe(2)
  expect(heard.err).toContain('unexpected "twice"')
  expect(heard.out).toBe('')
})

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
