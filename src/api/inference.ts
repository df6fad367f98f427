// The messages of inference.proto as proto-loader gives them, at the service and at its client: what was not sent is absent, lists
// are never.

export type GuidedDecoding = { choice: string[]; json_schema?: string; regex?: string; grammar?: string }

export type CompleteRequest = {
  launch_id: string
  prompts: string[]
  /** 0 where not sent. */
  max_tokens: number
  temperature?: number
  top_p?: number
  guided_decoding?: GuidedDecoding
}

export type EmbedRequest = { launch_id: string; texts: string[] }

export type Completion = { text: string; prompt_tokens: number; completion_tokens: number }

/** The last piece of a prompt alone has a reason and counts. */
export type TokenChunk = {
  index: number
  text: string
  finish_reason?: string
  prompt_tokens?: number
  completion_tokens?: number
}
