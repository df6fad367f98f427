// As root: a folder made for a service whose engines run anybody's code.
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { makeFolder } from '../../src/cli/make-folder.ts'

const nobody = { uid: 65_534, gid: 65_534 }

/** Where only root writes: not in /tmp. */
async function rootsFolder(): Promise<string> {
  const folder = await mkdtemp('/opt/gonka-test-')
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await chmod(folder, 0o755)
  return folder
}

async function make(path: string): Promise<string[]> {
  const told: string[] = []
  const out = { write: () => {}, complain: (text: string) => void told.push(text), colours: false, columns: 100 }
  await makeFolder(path, nobody, out)
  return told
}

const factsOf = async (path: string) => {
  const { uid, gid, mode } = await lstat(path)
  return [uid, gid, (mode & 0o777).toString(8)]
}

describe.skipIf(process.getuid?.() !== 0)('as root', () => {
  test('in a folder of root, also behind a link of root, what is made is the service’s, and what was there is not', async () => {
    const folder = await rootsFolder()
    await mkdir(join(folder, 'disk'))
    await symlink('disk', join(folder, 'link'))
    expect(await make(join(folder, 'link/a/b'))).toEqual([])
    for (const made of ['disk/a', 'disk/a/b'])
      expect(await factsOf(join(folder, made))).toEqual([65_534, 65_534, '755'])
    expect((await stat(join(folder, 'disk'))).uid).toBe(0)
  })

  test('in a folder of the service, the service makes it: a link that it puts there gives it nothing of root', async () => {
    const folder = await rootsFolder()
    const [theirs, secret] = [join(folder, 'theirs'), join(folder, 'secret')]
    await mkdir(theirs)
    await mkdir(secret, { mode: 0o755 })
    await writeFile(join(secret, 'shadow'), '', { mode: 0o600 })
    await symlink(secret, join(theirs, 'cache'))
    await chown(theirs, nobody.uid, nobody.gid)
    expect(await make(join(theirs, 'own/cache'))).toEqual([])
    expect((await factsOf(join(theirs, 'own/cache'))).slice(0, 2)).toEqual([65_534, 65_534])
    expect(await make(join(theirs, 'cache/sub'))).toEqual([expect.stringMatching(/as uid 65534: .*Permission denied/)])
    expect(await readdir(secret)).toEqual(['shadow'])
    expect(await factsOf(join(secret, 'shadow'))).toEqual([0, 0, '600'])
  })

  test('below a folder that others can write, root makes nothing', async () => {
    const folder = await rootsFolder()
    await mkdir(join(folder, 'shared/sub'), { recursive: true })
    await chmod(join(folder, 'shared'), 0o775)
    expect(await make(join(folder, 'shared/sub/cache'))).toEqual([expect.stringContaining('Permission denied')])
    expect(await readdir(join(folder, 'shared/sub'))).toEqual([])
  })

  test('a file, or a ring of links, in the way is told', async () => {
    const folder = await rootsFolder()
    await writeFile(join(folder, 'file'), '')
    await symlink('ring', join(folder, 'ring'))
    expect(await make(join(folder, 'file/a'))).toEqual([expect.stringContaining('file is no folder')])
    expect(await make(join(folder, 'ring/a'))).toEqual([expect.stringContaining('too many symbolic links')])
  })
})
