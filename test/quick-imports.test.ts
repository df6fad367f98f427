import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { createResolve } from '../src/quick-imports.ts'

const own = 'file:///opt/node/src/'
const imported = { conditions: ['node', 'import'], importAttributes: {} }
const required = { conditions: ['node', 'require'], importAttributes: {} }

function startResolve() {
  const asked: string[] = []
  const next = (specifier: string) => {
    asked.push(specifier)
    return { url: `file:///found/${specifier}`, format: 'module' }
  }
  return { asked, resolve: createResolve(own), next }
}

test('a relative import of our own file is that file, and nobody is asked', () => {
  const { asked, resolve, next } = startResolve()
  const context = { ...imported, parentURL: `${own}fleet/plan.ts` }
  expect(resolve('../core/log.ts', context, next)).toMatchObject({ url: `${own}core/log.ts`, shortCircuit: true })
  expect(asked).toEqual([])
})

test('a package is looked up once for all of our files, and again for a require, which may find another file', () => {
  const { asked, resolve, next } = startResolve()
  const one = resolve('zod', { ...imported, parentURL: `${own}a.ts` }, next)
  expect(resolve('zod', { ...imported, parentURL: `${own}deep/b.ts` }, next)).toEqual(one)
  expect(asked).toEqual(['zod'])
  resolve('zod', { ...required, parentURL: `${own}a.ts` }, next)
  expect(asked).toEqual(['zod', 'zod'])
})

test('what other packages import is resolved by Node, under the same name too', () => {
  const { asked, resolve, next } = startResolve()
  const parentURL = 'file:///opt/node/node_modules/pino/pino.js'
  resolve('./lib/levels.ts', { ...imported, parentURL }, next)
  resolve('../locales/index.js', { ...imported, parentURL }, next)
  expect(asked).toEqual(['./lib/levels.ts', '../locales/index.js'])
})

test('zod without its 60 languages still says in English what is wrong, and loads none of them', () => {
  const quick = pathToFileURL(join(import.meta.dirname, '../src/quick-imports.ts')).href
  const program = `
    import { registerHooks } from 'node:module'
    import { createResolve } from ${JSON.stringify(quick)}
    const quick = createResolve(new URL('.', ${JSON.stringify(quick)}).href)
    const seen = []
    registerHooks({ resolve: (specifier, context, next) => {
      const found = quick(specifier, context, next)
      seen.push(found.url)
      return found
    } })
    const { z } = await import('zod')
    const languages = seen.filter((url) => url.includes('/locales/') && !url.endsWith('/en.js'))
    console.log(JSON.stringify({ message: z.string().safeParse(1).error.issues[0].message, languages }))`
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: join(import.meta.dirname, '..'),
    encoding: 'utf8',
    timeout: 20_000,
  })
  expect(JSON.parse(text)).toEqual({ message: 'Invalid input: expected string, received number', languages: [] })
})
