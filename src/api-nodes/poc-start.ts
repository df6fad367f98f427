// Hands a PoC init to our own node listener, as the start script did: the same route and the same round as for the broker's.
import { within } from '../core/abort.ts'
import { messageOf } from '../core/errors.ts'
import { request } from '../core/http-client.ts'
import type { StartPoc } from './optional-routes.ts'

/** @param origin of our node listener, `http://127.0.0.1:8080` */
export function createPocStart(origin: string): StartPoc {
  return async (version, init, abort) => {
    const path = version === 'v2' ? '/api/v1/inference/pow/init/generate' : '/api/v1/pow/init/generate'
    try {
      const answer = await request(`${origin}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(init),
        // Every engine may take its full RPC timeout of 60 s.
        signal: within(90_000, abort),
      })
      return { status: answer.statusCode, text: await answer.body.text() }
    } catch (error) {
      return { status: 503, text: messageOf(error) }
    }
  }
}
