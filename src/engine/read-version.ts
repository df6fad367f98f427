// Which vLLM an engine is, as it tells itself.
import { readText, request } from '../core/http-client.ts'

/** @throws what asking for it says, also where it tells none */
export async function readVersion(origin: string): Promise<string> {
  const { body } = await request(`${origin}/version`, { headersTimeout: 10_000, bodyTimeout: 10_000 })
  const text = await readText(body, 65_536)
  const version = /"version"\s*:\s*"([^"]+)"/.exec(text)?.[1]
  if (version === undefined) throw new Error('the engine does not tell its version')
  return version
}
