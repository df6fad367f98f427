import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished, expect, test } from 'vitest'
import { renderVector } from '../../src/rehearsal/engine-vectors.ts'
import { eventually } from '../support/eventually.ts'
import { post, startEngine } from './engine-support.ts'

type Batch = { artifacts: { nonce: number; vector_b64: string }[]; node_id: number }

const init = {
  block_hash: 'b',
  block_height: 7,
  public_key: 'k',
  node_id: 1,
  node_count: 2,
  batch_size: 10,
  params: { model: 'tiny', seq_len: 16, k_dim: 12 },
}

async function startReceiver(): Promise<{ url: string; batches: Batch[] }> {
  const batches: Batch[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (part: string) => (text += part))
    request.once('end', () => {
      batches.push(JSON.parse(text) as Batch)
      // The first delivery is refused: it has to come again, whole.
      response.writeHead(batches.length === 1 ? 503 : 200).end()
      if (batches.length === 1) batches[0] = { artifacts: [], node_id: -1 }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, batches }
}

test('two engines of two groups deliver exactly their nonces, disjoint, with vectors that anybody can compute', async () => {
  const { url, batches } = await startReceiver()
  const env = { REHEARSAL_POC_CALLBACK_MS: '20' }
  for (const group of [0, 1]) {
    const engine = await startEngine(env)
    await engine.serving()
    const ask = { ...init, url, group_id: group, n_groups: 2 }
    const pow = `${engine.url}/api/v1/pow`
    expect(await post(`${pow}/init/generate`, ask)).toMatchObject({ status: 200, body: { status: 'OK' } })
    expect(await post(`${pow}/init/generate`, ask)).toMatchObject({
      status: 409,
      body: { detail: 'Already generating' },
    })
    expect(await post(`${engine.url}/v1/completions`, { prompt: 'x' })).toMatchObject({ status: 503 })
    const of = () => batches.flatMap(({ artifacts }) => artifacts).filter(({ nonce }) => nonce % 4 === 1 + group * 2)
    await eventually('enough nonces', () => of().length >= 30)
    expect(await post(`${pow}/stop`, {})).toMatchObject({ body: { pow_status: { status: 'STOPPED' } } })
    expect(
      of()
        .slice(0, 30)
        .map(({ nonce }) => nonce),
    ).toEqual(Array.from({ length: 30 }, (_, at) => 1 + group * 2 + at * 4))
  }
  const all = batches.flatMap(({ artifacts }) => artifacts)
  expect(new Set(all.map(({ nonce }) => nonce)).size).toBe(all.length)
  for (const { nonce, vector_b64 } of all.slice(0, 20)) {
    expect(vector_b64).toBe(renderVector({ blockHash: 'b', publicKey: 'k', nonce, kDim: 12 }))
  }
})

test('asked nonces come back, honest vectors pass validation and others are fraud', async () => {
  const engine = await startEngine({ POC_MAX_QUEUED_NONCES: '5' })
  await engine.serving()
  const url = `${engine.url}/api/v1/pow/generate`
  const done = await post(url, { ...init, nonces: [3, 5], wait: true })
  expect(done).toMatchObject({ status: 200, body: { status: 'completed', encoding: { dtype: 'f16', k_dim: 12 } } })
  const { artifacts } = done.body as { artifacts: { nonce: number; vector_b64: string }[] }
  const honest = await post(url, { ...init, nonces: [3, 5], wait: true, validation: { artifacts } })
  expect(honest.body).toMatchObject({ n_total: 2, n_mismatch: 0, fraud_detected: false })
  const forged = artifacts.map((one) => ({ ...one, vector_b64: artifacts[0]?.vector_b64 }))
  const fraud = await post(url, { ...init, nonces: [3, 5], wait: true, validation: { artifacts: forged } })
  expect(fraud.body).toMatchObject({ n_mismatch: 1, mismatch_nonces: [5], fraud_detected: true })
  expect(await post(url, { ...init, nonces: [1, 2, 3, 4, 5, 6] })).toMatchObject({ status: 429 })
  const other = await post(url, { ...init, nonces: [4], validation: { artifacts } })
  expect(other.status).toBe(400)
})

test('bad asks are refused as the overlays refuse them', async () => {
  const engine = await startEngine({ REHEARSAL_POC_REFUSE: '503' })
  await engine.serving()
  const url = `${engine.url}/api/v1/pow/init/generate`
  expect(await post(url, {})).toMatchObject({
    status: 422,
    body: { detail: [{ type: 'missing' }, {}, {}, {}, {}, {}] },
  })
  const extra = { ...init, params: { ...init.params, more: 1 } }
  expect(await post(url, extra)).toMatchObject({ status: 422, body: { detail: [{ type: 'extra_forbidden' }] } })
  const other = { ...init, params: { ...init.params, model: 'other' } }
  expect(await post(url, other)).toMatchObject({ status: 409, body: { detail: { error: 'params mismatch' } } })
  expect(await post(url, init)).toMatchObject({ status: 503 })
  expect((await fetch(`${engine.url}/api/v1/pow/generate/none`)).status).toBe(404)
})
