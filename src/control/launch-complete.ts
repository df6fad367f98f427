// One completion for the command line: pieces of text as the engine makes them, then how it ended.
import { z } from 'zod'
import type { LaunchResponse } from '../api/launches.ts'
import { Refusal, messageOf } from '../core/errors.ts'
import { readText, request } from '../core/http-client.ts'
import { isGuided, renderGuided } from '../engine/guided.ts'
import { readVersion } from '../engine/read-version.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { SocketRequest } from './socket.ts'

const wish = z.object({
  id: z.string().trim().min(1),
  prompt: z.string(),
  max_tokens: z.int().min(1).default(64),
  temperature: z.number().min(0).optional(),
  guided_decoding: z
    .object({
      choice: z.array(z.string()).default([]),
      json_schema: z.string().exactOptional(),
      regex: z.string().exactOptional(),
      grammar: z.string().exactOptional(),
    })
    .optional(),
})

export type Piece = { text: string; finish_reason?: string; prompt_tokens?: number; completion_tokens?: number }

type Deps = { get: (id: string) => LaunchResponse; upstreams: (id: string) => readonly Upstream[] }

/** Longer lines are no pieces of a completion. */
const longestLine = 1_048_576

/** @throws Refusal 400, 404, 409, or 502 with what the engine says */
export async function* complete(deps: Deps, { body, abort }: SocketRequest): AsyncGenerator<Piece> {
  const found = wish.safeParse(body)
  if (!found.success)
    throw new Refusal('bad-completion', 400, `complete: ${found.error.issues.map(({ message }) => message).join('; ')}`)
  const { id, guided_decoding: guided, ...sampling } = found.data
  const upstream = pick(deps.get(id), deps.upstreams(id))
  using turn = upstream.begin()
  try {
    const constraint = isGuided(guided) ? renderGuided(guided, await readVersion(upstream.origin)) : {}
    const { statusCode, body: answer } = await request(`${upstream.origin}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: upstream.model,
        ...sampling,
        ...constraint,
        stream: true,
        stream_options: { include_usage: true },
      }),
      signal: abort,
    })
    if (statusCode !== 200) throw new Error(`${statusCode} ${await readText(answer, longestLine)}`)
    for await (const event of readEvents(answer as AsyncIterable<Buffer>)) {
      turn.progress()
      yield toPiece(event)
    }
  } catch (error) {
    throw new Refusal('completion-failed', 502, `the engine of launch ${id} did not complete: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

function pick({ launch_id: id, state, task }: LaunchResponse, upstreams: readonly Upstream[]): Upstream {
  const serving = upstreams.filter((one) => one.state.peek() === 'serving').toSorted((a, b) => a.inFlight - b.inFlight)
  if (task !== 'generate') throw new Refusal('launch-task', 409, `Launch ${id} has task '${task}', expected 'generate'`)
  if (state !== 'ready' || !serving[0])
    throw new Refusal('launch-not-ready', 409, `Launch ${id} is not ready (state=${state})`)
  return serving[0]
}

type Event = {
  choices?: { text?: string; finish_reason?: string | null }[]
  usage?: { prompt_tokens: number; completion_tokens: number } | null
  error?: { message?: string } | string
}

async function* readEvents(body: AsyncIterable<Buffer>): AsyncGenerator<Event> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/)
    rest = lines.pop() ?? ''
    if (rest.length > longestLine) throw new Error(`a line has more than ${longestLine} characters`)
    for (const line of lines)
      if (line.startsWith('data: ') && line !== 'data: [DONE]') yield JSON.parse(line.slice(6)) as Event
  }
}

function toPiece({ choices, usage, error }: Event): Piece {
  if (error !== undefined) throw new Error(typeof error === 'string' ? error : error.message)
  const [choice] = choices ?? []
  return {
    text: choice?.text ?? '',
    ...(choice?.finish_reason && { finish_reason: choice.finish_reason }),
    ...(usage && { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens }),
  }
}
