// The load generator of the gRPC rows, a process of its own: HOW PORT PROMPTS CONCURRENT. Prints one JSON line.
// direct: one POST per prompt to the engine. batch: Complete with all prompts. calls: Complete with one prompt each.
// CompleteStream, EmbedStream, TokenStream: one call that nobody reads, until it is killed.
import { connect } from 'node:http2'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { createPool } from '../../src/core/http-client.ts'

const [how = 'direct'] = process.argv.slice(2)
const [port = 0, count = 1, concurrent = 1] = process.argv.slice(3).map(Number)
type Answer = { completions: { text: string }[] }
const proto = join(import.meta.dirname, '../../src/api/inference.proto')
const loaded = loadSync(proto, { keepCase: true, arrays: true, defaults: true })
const services = ['vllm_bootstrap.InferenceService', 'vllm_bootstrap.TokenService'].map((name) => loaded[name])
const methods = Object.assign({}, ...services) as Record<string, grpc.MethodDefinition<object, Answer>>
const prompts = Array.from({ length: count }, (_, at) => `a prompt of some length, as they are, number ${at}`)
const timer = { began: performance.now() }
if (how === 'direct') await askDirectly()
else if (how === 'batch') await complete(openClient(), prompts)
else if (how === 'calls') await callConcurrently()
else leaveUnread(how)
const seconds = (performance.now() - timer.began) / 1000
process.stdout.write(`${JSON.stringify({ perSecond: count / seconds })}\n`)

async function askDirectly(): Promise<void> {
  const pool = createPool(`http://127.0.0.1:${port}`, { connections: concurrent, pipelining: 1 })
  const headers = { 'content-type': 'application/json' }
  await work(async (prompt) => {
    const body = JSON.stringify({ model: 'tiny', prompt, max_tokens: 16, temperature: 1, top_p: 1 })
    const answer = await pool.request({ path: '/v1/completions', method: 'POST', headers, body })
    const told = (await answer.body.json()) as { choices: { text: string }[] }
    if (!told.choices[0]?.text) throw new Error('no text')
  })
  await pool.destroy()
}

async function callConcurrently(): Promise<void> {
  const client = openClient()
  await work((prompt) => complete(client, [prompt]))
}

/** So many at a time, until all are done; timed after a first round of them, which opens connections and compiles this program. */
async function work(ask: (prompt: string) => Promise<void>): Promise<void> {
  await Promise.all(prompts.slice(0, concurrent).map(ask))
  timer.began = performance.now()
  const state = { next: 0 }
  const run = async () => {
    for (let at = state.next++; at < count; at = state.next++) await ask(prompts[at] ?? '')
  }
  await Promise.all(Array.from({ length: concurrent }, run))
}

function openClient(): grpc.Client {
  const options = { 'grpc.max_receive_message_length': -1 }
  return new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options)
}

function complete(client: grpc.Client, list: readonly string[]): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = methodOf('Complete')
  const request = { launch_id: 'bench', prompts: list, max_tokens: 16 }
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
      if (error) return reject(error)
      if (answer?.completions.length !== list.length) return reject(new Error('answers are missing'))
      resolve()
    })
  })
}

function methodOf(name: string): grpc.MethodDefinition<object, Answer> {
  const method = methods[name]
  if (!method) throw new Error(`no method ${name}`)
  return method
}

/** By hand: a grpc-js client that does not read takes all from the connection nevertheless, into memory of its own. */
function leaveUnread(method: string): void {
  const { path, requestSerialize } = methodOf(method)
  const isEmbed = method.startsWith('Embed')
  const message = requestSerialize(
    isEmbed ? { launch_id: 'bench-embed', texts: prompts } : { launch_id: 'bench', prompts, max_tokens: 4000 },
  )
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
  connect(`http://127.0.0.1:${port}`)
    .request(headers)
    .end(Buffer.concat([head, message]))
  setInterval(() => {}, 1000)
}
