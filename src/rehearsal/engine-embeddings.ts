// /v1/embeddings of the rehearsal engine: unit vectors that anybody can compute again, the same for the same text.
import { createHash, randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { readJsonBody, sendDetail, sendJson, sendOpenAiError } from './engine-answers.ts'
import { countPrompt, judgeLengths, toPrompts } from './engine-ask.ts'
import type { Session } from './engine-session.ts'

export async function answerEmbeddings(
  session: Session,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { args, knobs } = session
  const { generation } = knobs
  const body = await readJsonBody(request)
  const refuse = (status: number, message: string, type: string) =>
    sendOpenAiError(response, status, { message, type, generation })
  if (!body)
    return refuse(400, "[{'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode error'}]", 'Bad Request')
  const model = typeof body['model'] === 'string' ? body['model'] : (args.servedNames[0] ?? '')
  if (!args.servedNames.includes(model)) {
    return refuse(404, `The model \`${model}\` does not exist.`, 'NotFoundError')
  }
  const { input } = body
  if (input === undefined) return refuse(400, "[{'type': 'missing', 'loc': ('body', 'input')}]", 'Bad Request')
  const inputs = toPrompts(input)
  const tokens = inputs.map(countPrompt)
  const tooLong = judgeLengths(tokens, args.maxModelLen)
  if (tooLong !== undefined) return refuse(400, tooLong, 'BadRequestError')
  const left = new AbortController()
  response.once('close', () => left.abort())
  try {
    // One step of the core each, as a pooling model takes it.
    await Promise.all(tokens.map((count) => drain(session.decoder.decode({ tokens: count, total: 1 }, left.signal))))
  } catch (error) {
    if (left.signal.aborted) return
    return refuse(500, error instanceof Error ? error.message : String(error), 'InternalServerError')
  }
  const encode = (vector: Float32Array) =>
    body['encoding_format'] === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
  const sum = tokens.reduce((all, one) => all + one, 0)
  sendJson(response, 200, {
    id: `embd-${randomUUID().replaceAll('-', '')}`,
    object: 'list',
    created: Math.floor(Date.now() / 1000),
    model,
    data: inputs.map((text, index) => ({
      index,
      object: 'embedding',
      embedding: encode(toVector(text, knobs.embedDims)),
    })),
    usage: { prompt_tokens: sum, total_tokens: sum, completion_tokens: 0, prompt_tokens_details: null },
  })
}

/** A model of the other task: 0.9.1 has the route and refuses, later ones have no route. */
export async function refuseTask(
  { knobs }: Session,
  api: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  await readJsonBody(request)
  const { generation } = knobs
  if (generation !== 'v0-overlay') return sendDetail(response, 404, 'Not Found')
  sendOpenAiError(response, 400, {
    message: `The model does not support ${api} API`,
    type: 'BadRequestError',
    generation,
  })
}

export function toVector(text: unknown, dims: number): Float32Array {
  const seed = createHash('sha256').update(JSON.stringify(text)).digest()
  const numbers = Float32Array.from({ length: dims }, (_, at) => seed.readInt16LE((at * 2) % 32) / 2 ** 15 + at / dims)
  const length = Math.hypot(...numbers) || 1
  return numbers.map((number) => number / length)
}

async function drain(parts: AsyncIterable<string>): Promise<void> {
  for await (const _part of parts);
}
