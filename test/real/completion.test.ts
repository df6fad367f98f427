// The completion scripts in the shells that they are for, from where install.sh puts them.
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { listWords, renderCompletion } from '../../src/cli/completion.ts'
import { bringCommands, describeWith, provide } from '../support/real.ts'
import { tempDir } from '../support/temp-dir.ts'

const run = promisify(execFile)
const zsh = await provide('zsh', () => bringCommands({ zsh: 'zsh' }))

describeWith('zsh', zsh, () => {
  const asked = [
    ['gonka-node', 'eng'],
    ['gonka-node', 'config', ''],
    ['gonka-node', 'nothing-such', ''],
  ]
  /** What zsh would offer, by a compadd that prints, and fails for nothing as the real one does; files by name alone. */
  const prints = `compadd() { local -a found; found=(\${(P)@[-1]}); print -r -- words: $found; (( $#found )) }; _files() { print -r -- files }
${asked.map((words) => `words=(${words.map((one) => `'${one}'`).join(' ')}) CURRENT=${words.length}; $_comps[gonka-node]`).join('\n')}`

  async function folderOfFunctions(): Promise<string> {
    const folder = join(await tempDir(), 'site-functions')
    await mkdir(folder)
    await writeFile(join(folder, '_gonka-node'), renderCompletion(await listWords(), 'zsh'))
    return folder
  }

  test('it is a script of zsh', async () => {
    expect(await run('zsh', ['-n', join(await folderOfFunctions(), '_gonka-node')])).toMatchObject({ stderr: '' })
  })

  test('it is found among the functions of the site, offers verbs and then their words, and files where it knows none', async () => {
    const folder = await folderOfFunctions()
    const line = `fpath=('${folder}' $fpath); autoload -U compinit; compinit -u -d '${folder}/../dump'; ${prints}`
    const { stdout } = await run('zsh', ['-f', '-c', line])
    const [verbs, config, ...rest] = stdout.trim().split('\n')
    expect(verbs).toMatch(/^words: .*\bengines\b/)
    expect(config).toMatch(/^words: .*\bcheck\b.*--json/)
    expect(rest).toEqual(['words:', 'files'])
  })

  test('sourced it does the same, also in a zsh that has no completion yet', async () => {
    const folder = await folderOfFunctions()
    const line = `compinit() { fpath=($fpath) ; unfunction compinit; autoload -U compinit; compinit -u -d '${folder}/../dump' }
source '${folder}/_gonka-node'; ${prints}`
    const { stdout } = await run('zsh', ['-f', '-c', line])
    expect(stdout).toMatch(/words: .*\bengines\b/)
  })

  test('the folder that install.sh uses is one where zsh looks', async () => {
    const { stdout } = await run('zsh', ['-f', '-c', 'print -l $fpath'])
    expect(stdout.split('\n')).toContain('/usr/local/share/zsh/site-functions')
  })
})
