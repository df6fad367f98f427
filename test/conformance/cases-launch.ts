// A1.1, A1.2, A1.5, A1.6: what happens to a launch, whose GPUs are whose, and its log.
import assert from 'node:assert/strict'
import { type Case, needsVariable } from './case.ts'
import type { LaunchFacts, Target } from './target.ts'

type Log = { launch_id: string; offset: number; next_offset: number; content: string }

const readLog = async (target: Target, id: string, offset = 0) =>
  (await target.call('GET', `/logs/${id}?offset=${offset}`)).json as Log

/** In pieces of the size that the service gives. */
async function readPieces(target: Target, id: string): Promise<Log[]> {
  const pieces: Log[] = []
  for (let offset = 0; ;) {
    const piece = await readLog(target, id, offset)
    if (piece.content === '') return pieces
    assert.equal(piece.offset, offset)
    assert.equal(piece.next_offset, offset + Buffer.byteLength(piece.content), `piece at ${offset}`)
    pieces.push(piece)
    offset = piece.next_offset
  }
}

/** As the engine's own log tells it. */
async function readParallel(target: Target, id: string): Promise<string[]> {
  const text = (await readPieces(target, id)).map(({ content }) => content).join('')
  return [...new Set([...text.matchAll(/tensor_parallel_size'?[:=] ?(\d+)/g)].map(([, size = '']) => size))]
}

const list = async (target: Target, query = '') => (await target.call('GET', `/launch${query}`)).json as LaunchFacts[]

const idsOf = (launches: readonly LaunchFacts[]) => launches.map(({ launch_id }) => launch_id)

export const launchCases: Case[] = [
  {
    of: 'A1.5',
    title: 'a launch without gpu_ids, or with null, takes all GPUs, busy ones too: 409 names who has them',
    async run(target) {
      const [first, second] = target.gpus
      const made = await target.launch({ model: target.model, gpu_ids: [first] })
      for (const wish of [{}, { gpu_ids: null }]) {
        const { status, json } = await target.call('POST', '/launch', { body: { model: target.model, ...wish } })
        assert.equal(status, 409)
        const { detail } = json as { detail: string }
        assert.ok(detail.startsWith('Requested GPUs are in use (gpu '), detail)
        assert.ok(detail.includes(`gpu ${first} -> ${made.launch_id}`), detail)
      }
      const other = await target.launch({ model: target.model, gpu_ids: [second] })
      const both = await target.call('POST', '/launch', { body: { model: target.model, gpu_ids: [second, first] } })
      assert.equal(both.status, 409)
      const detail = `Requested GPUs are in use (gpu ${first} -> ${made.launch_id}, gpu ${second} -> ${other.launch_id})`
      assert.deepEqual(both.json, { detail })
      await Promise.all([made, other].map(({ launch_id }) => target.stop(launch_id)))
    },
  },
  {
    of: 'A1.2',
    title: 'bootstrapping, ready, stopped; the GPU is free again, and the same stop answers the same',
    async run(target) {
      const wish = { model: target.model, gpu_ids: [target.gpus[0]] }
      const made = await target.launch(wish)
      const ready = await target.until(made.launch_id, 'ready')
      assert.equal(ready.error, null)
      assert.equal(ready.created_at, made.created_at)
      assert.ok(ready.updated_at > made.updated_at, 'updated_at did not move')
      const first = await target.call('POST', `/stop/${made.launch_id}`)
      assert.equal(first.status, 200)
      const stopped = await target.until(made.launch_id, 'stopped')
      assert.equal(stopped.error, null)
      const again = await target.call('POST', `/stop/${made.launch_id}`)
      assert.equal(again.status, 200)
      assert.deepEqual(again.json, stopped)
      const next = await target.launch(wish)
      await target.stop(next.launch_id)
    },
  },
  {
    of: 'A1.1',
    title: 'the list has what is not ended, oldest first; the home page counts the same, newest first',
    async run(target) {
      const [first, second] = target.gpus
      const older = await target.launch({ model: target.model, gpu_ids: [first] })
      const newer = await target.launch({ model: target.model, gpu_ids: [second] })
      const both = [older.launch_id, newer.launch_id]
      assert.deepEqual(
        idsOf(await list(target)).filter((id) => both.includes(id)),
        both,
      )
      const page = await target.call('GET', '/')
      assert.equal(page.status, 200)
      assert.match(page.headers['content-type'] ?? '', /^text\/html/)
      assert.match(page.text, /<title>vllm-bootstrap Home Health<\/title>/)
      assert.match(page.text, /href="\/docs"/)
      const count = (await list(target)).length
      assert.match(page.text, new RegExp(`Active Launches: ${count}\\b`))
      assert.ok(page.text.indexOf(newer.launch_id) < page.text.indexOf(older.launch_id), 'the newest is not first')
      await Promise.all(both.map((id) => target.stop(id)))
      assert.deepEqual(
        idsOf(await list(target)).filter((id) => both.includes(id)),
        [],
      )
      if ((await list(target)).length > 0) return
      const empty = (await target.call('GET', '/')).text
      assert.match(empty, /No running vLLM launches\./)
      assert.match(empty, /Active Launches: 0\b/)
    },
  },
  {
    of: 'A1.2',
    title: 'a model that does not load fails with a reason, and its GPU is free again',
    async run(target) {
      const wish = { model: target.badModel, gpu_ids: [target.gpus[0]] }
      const made = await target.launch(wish)
      const failed = await target.until(made.launch_id, 'failed')
      assert.ok(failed.error && failed.error.length > 10, `error is ${JSON.stringify(failed.error)}`)
      const again = await target.call('POST', `/stop/${made.launch_id}`)
      assert.deepEqual(again.json, failed)
      const next = await target.launch(wish)
      await target.until(next.launch_id, 'failed')
    },
  },
  {
    of: 'A1.6',
    shares: true,
    title: 'a log is read by byte offsets, in pieces or whole, also after the stop',
    async run(target) {
      const { launch_id: id } = await target.serving('generate')
      const whole = await readLog(target, id)
      assert.equal(whole.launch_id, id)
      assert.equal(whole.offset, 0)
      assert.ok(whole.content.length > 0, 'the log is empty')
      assert.equal(whole.next_offset, Buffer.byteLength(whole.content))
      assert.deepEqual((await target.call('GET', `/logs/${id}`)).json, whole, 'without an offset it is another one')
      const pieces = await readPieces(target, id)
      assert.ok(pieces.at(-1)?.content.endsWith('\n'), 'the last line has no end')
      const firstLine = Buffer.byteLength(`${whole.content.split('\n')[0]}\n`)
      const rest = await readLog(target, id, firstLine)
      assert.equal(rest.offset, firstLine)
      assert.ok(rest.content.startsWith(whole.content.slice(whole.content.indexOf('\n') + 1)))
      const beyond = await readLog(target, id, 1_000_000_000)
      assert.equal(beyond.offset, beyond.next_offset)
      assert.equal(beyond.content, '')
      assert.ok(beyond.offset >= whole.next_offset && beyond.offset < 1_000_000_000)
    },
  },
  {
    of: 'A1.5',
    title: 'of requests for the same GPU at the same time one gets it, and the others are told who',
    async run(target) {
      const body = { model: target.model, gpu_ids: [target.gpus[0]] }
      const answers = await Promise.all(Array.from({ length: 8 }, () => target.call('POST', '/launch', { body })))
      const made = answers.filter(({ status }) => status === 201).map(({ json }) => json as LaunchFacts)
      await Promise.all(made.map(({ launch_id }) => target.stop(launch_id)))
      assert.equal(made.length, 1)
      const detail = `Requested GPUs are in use (gpu ${target.gpus[0]} -> ${made[0]?.launch_id})`
      for (const { status, json } of answers.filter((one) => one.status !== 201))
        assert.deepEqual([status, json], [409, { detail }])
    },
  },
  {
    of: 'A1.5',
    title: 'a launch computes on all of its GPUs together, and the home page names them',
    async run(target) {
      const [first, second] = target.gpus
      const { launch_id: id } = await target.launch({ model: target.model, gpu_ids: [second, first] })
      const page = (await target.call('GET', '/')).text
      const head = [...page.matchAll(/<th>([^<]*)<\/th>/g)].map(([, name]) => name)
      assert.deepEqual(head, ['Launch ID', 'Model', 'GPUs', 'Task', 'State', 'Updated'])
      const row = page.split('<tr>').find((one) => one.includes(id)) ?? ''
      assert.ok(row.includes(`<td>${first}, ${second}</td>`) && row.includes('generate'), row)
      await target.until(id, 'ready')
      assert.deepEqual(await readParallel(target, id), ['2'])
      await target.stop(id)
    },
  },
  {
    of: 'A1.1',
    title: 'extra_kwargs win: over the model and over the number of GPUs that compute together',
    async run(target) {
      const extra_kwargs = { model: target.model, tensor_parallel_size: 1, seed: null }
      const made = await target.launch({ model: target.badModel, gpu_ids: [...target.gpus], extra_kwargs })
      assert.equal(made.model, target.badModel)
      await target.until(made.launch_id, 'ready')
      assert.deepEqual(await readParallel(target, made.launch_id), ['1'])
      await target.stop(made.launch_id)
    },
  },
  {
    of: 'A1.2',
    title: 'arguments that the engine does not know end in failed, with a log that is still read',
    async run(target) {
      const wish = { model: target.model, gpu_ids: [target.gpus[0]], extra_kwargs: { no_such_argument: 1 } }
      const { launch_id: id } = await target.launch(wish)
      const { error } = await target.until(id, 'failed')
      assert.ok(error)
      const pieces = await readPieces(target, id)
      assert.ok(pieces.length > 0, 'the log is empty')
    },
  },
  {
    of: 'A1.6',
    title: 'no piece of a log ends within a character',
    lacks: needsVariable('VLLM_LOG_READ_CHUNK_BYTES'),
    async run(target) {
      const most = Number(target.environment?.['VLLM_LOG_READ_CHUNK_BYTES'])
      // Longer than two pieces, of characters of two, three and four bytes: some piece's end falls into one.
      const long = 'äß€語𝄞'.repeat(Math.ceil(most / 8))
      const extra_kwargs = { hf_overrides: { conformance: long } }
      const { launch_id: id } = await target.launch({ model: target.model, gpu_ids: [target.gpus[0]], extra_kwargs })
      await target.until(id, 'ready', 'failed')
      const pieces = await readPieces(target, id)
      const text = pieces.map(({ content }) => content).join('')
      assert.ok(text.includes('語𝄞äß€'), 'the log has none of the characters')
      for (const { offset, content } of pieces) assert.ok(!content.includes('\uFFFD'), `the piece at ${offset} is cut`)
      assert.ok(pieces.length > 2 && pieces.some(({ next_offset: next, offset }) => next - offset < most))
      await target.stop(id)
    },
  },
]
