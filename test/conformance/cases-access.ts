// A1.4: who gets in. Fewer wrong keys than a service bears that counts guesses.
import assert from 'node:assert/strict'
import { type Case, needsBoth, needsKey } from './case.ts'

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

/** What to send, by the key. */
const accepted: Record<string, (key: string) => string> = {
  Bearer: (key) => `Bearer ${key}`,
  'bearer in small letters, with blanks around the key': (key) => `bearer   ${key}  `,
  'Basic with any user': (key) => basic(`anybody:${key}`),
  'basic without a user': (key) => `basic ${Buffer.from(`:${key}`).toString('base64')}`,
}

const refused: Record<string, (key: string) => string | null> = {
  'no key': () => null,
  'a wrong key': (key) => `Bearer ${key}x`,
  'no scheme': (key) => key,
  'another scheme': (key) => `Digest ${key}`,
  'Basic without a colon': (key) => basic(key),
  'Basic with a colon before the key': (key) => basic(`u:a:${key}`),
  'Basic that is no base64': () => 'Basic %%%%',
}

export const accessCases: Case[] = [
  ...Object.entries(accepted).map(([name, make]): Case => ({
    of: 'A1.4',
    title: `${name} is let in`,
    lacks: needsKey,
    async run(target) {
      const { status } = await target.call('GET', '/launch', { authorization: make(target.key ?? '') })
      assert.equal(status, 200)
    },
  })),
  ...Object.entries(refused).map(([name, make]): Case => ({
    of: 'A1.4',
    title: `${name} is 401 with a challenge`,
    lacks: needsKey,
    async run(target) {
      const { status, headers, json } = await target.call('GET', '/stats', { authorization: make(target.key ?? '') })
      assert.equal(status, 401)
      assert.deepEqual(json, { detail: 'Unauthorized' })
      assert.equal(headers['www-authenticate'], 'Basic realm="vllm-bootstrap"')
    },
  })),
  {
    of: 'A1.4',
    title: 'every path wants the key: home, documentation, schema, unknown ones, wrong methods',
    lacks: needsKey,
    async run(target) {
      const paths = ['/', '/docs', '/redoc', '/openapi.json', '/nothing', '/stop/x', '/launch', '/status/x', '/logs/x']
      const asks = [...paths.map((path) => ['GET', path]), ['POST', '/launch'], ['POST', '/stop/x'], ['HEAD', '/stats']]
      for (const [method = '', path = ''] of asks) {
        const { status } = await target.call(method, path, { authorization: null })
        assert.equal(status, 401, `${method} ${path}`)
      }
    },
  },
  {
    of: 'ours',
    title: 'probes need no key',
    lacks: needsKey,
    async run(target) {
      for (const path of ['/livez', '/healthz', '/health']) {
        const { status } = await target.call('GET', path, { authorization: null })
        assert.ok([200, 503].includes(status), `${path}: ${status}`)
      }
    },
  },
  ...['Complete', 'Embed', 'CompleteStream', 'EmbedStream'].map((method): Case => ({
    of: 'A1.8',
    title: `${method} wants the key before it looks at the request`,
    lacks: needsBoth,
    async run(target) {
      const calls = target.grpcCalls()
      for (const authorization of [undefined, 'Bearer wrong']) {
        const { code, details } = await calls.ask(method, {}, { metadata: calls.metadata(authorization) })
        assert.deepEqual({ code, details }, { code: 'UNAUTHENTICATED', details: 'Invalid or missing access key' })
      }
      const metadata = calls.metadata(basic(`u:${target.key}`))
      assert.equal((await calls.ask(method, {}, { metadata })).code, 'INVALID_ARGUMENT')
    },
  })),
]
