// A1.1 and A1.5 once more, in bulk: every request that was put to FastAPI and pydantic (test/fixtures/fastapi-answers.json) and refused
// there is refused here in the same words; and what was taken is taken.
import assert from 'node:assert/strict'
import { fastapiAnswers, type Measured } from '../fixtures/fastapi-answers.ts'
import type { Case } from './case.ts'
import type { Ask, Target } from './target.ts'

async function replay(target: Target, { ask, bytes, status, allow, location, text = '' }: Measured) {
  const [method, path, body, type = 'application/json'] = ask
  const raw = body !== undefined && {
    raw: { text: Buffer.from(body, bytes ?? 'utf8'), ...(type !== null && { type }) },
  }
  const answer = await target.call(method, path, raw || {})
  const told = `${method} ${path} ${body ?? ''}: ${answer.status} ${answer.text}`
  // The launch of that name was known where it was fastapiAnswers.
  const wanted = status === 200 ? { status: 404, text: '{"detail":"Unknown launch_id: x"}' } : { status, text }
  assert.equal(answer.status, wanted.status, told)
  assert.equal(answer.text, method === 'HEAD' ? '' : wanted.text, told)
  assert.equal(answer.headers['allow'], allow, told)
  if (location !== undefined)
    assert.equal(new URL(answer.headers['location'] ?? '').href, new URL(location, target.url).href, told)
}

const replayCase = (title: string, picks: (one: Measured) => boolean): Case => {
  const rows = fastapiAnswers.filter((one) => one.status !== 201 && picks(one))
  return {
    of: 'A1.1',
    title: `${title} (${rows.length} requests, as FastAPI answered them)`,
    async run(target) {
      for (const one of rows) await replay(target, one)
    },
  }
}

const isBody = ({ ask: [method, , body] }: Measured) => method === 'POST' && body !== undefined
const isQuery = ({ ask: [, path] }: Measured) => path.includes('offset=')
const isJsonError = ({ text }: Measured) => text?.includes('json_invalid') === true

/** No GPU has these numbers: what is understood of them is told in the refusal, and nothing is launched. */
const coerced: Record<string, [gpuIds: string, understood: string]> = {
  texts: ['["97", " 98 ", "+99"]', '97, 98, 99'],
  'texts with a fraction of zero, and with underscores': ['["97.0", "9_8"]', '97, 98'],
  floats: ['[97.0, 98e0]', '97, 98'],
  'negative texts': ['["-3"]', '-3'],
  'repeated ones': ['[98, "98", 98.0, 97]', '97, 98'],
  'true, which is 1': ['[true, 97, true]', '97'],
  'false, which is 0': ['[false, 97]', '97'],
}

export const validationCases: Case[] = [
  replayCase('paths, methods and slashes', (one) => !isBody(one) && !isQuery(one)),
  replayCase('offsets', isQuery),
  replayCase('texts that are no JSON', (one) => isBody(one) && isJsonError(one)),
  replayCase('bodies that are no launch', (one) => isBody(one) && !isJsonError(one)),
  ...Object.entries(coerced).map(([name, [gpuIds, understood]]): Case => ({
    of: 'A1.1',
    title: `GPU ids are taken as ${name}`,
    async run(target) {
      const raw = { text: `{"model":"m","gpu_ids":${gpuIds}}`, type: 'application/json' }
      const { status, text } = await target.call('POST', '/launch', { raw })
      // One machine may have no GPU 1: then it is among those that are not there.
      const said = text.replace(/\[[01], /, '[')
      assert.deepEqual([status, said], [400, `{"detail":"Requested GPUs are not available: [${understood}]"}`])
    },
  })),
  {
    of: 'A1.1',
    title: 'JSON of any spelling of its content type is read; the last of two fields of one name counts',
    async run(target) {
      for (const type of ['application/json; charset=utf-8', 'application/vnd.x+json', 'APPLICATION/JSON']) {
        const raw: Ask = { raw: { text: '{"model":"m","gpu_ids":[97],"gpu_ids":[98]}', type } }
        const { status, text } = await target.call('POST', '/launch', raw)
        assert.deepEqual([type, status, text], [type, 400, '{"detail":"Requested GPUs are not available: [98]"}'])
      }
    },
  },
]
