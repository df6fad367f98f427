// An engine that answers its first requests as fast as its later ones, for measurements. V8 compiles the path of an answer when it is
// first taken: 5 ms for the first /health, 2 ms for the first /v1/models, 0.4 ms from the second on. vLLM has no such cost, and
// where the time from ready to registered is measured it would count as the daemon's.
import { createServer, get, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerEngine } from './engine-routes.ts'
import type { Session } from './engine-session.ts'

const paths = ['/health', '/v1/models', '/api/v1/pow/status']

/** Over a port of its own: nobody who waits for the engine sees it, and its log neither. */
export async function warmAnswers(session: Session, rounds = 10): Promise<void> {
  const quiet = { ...session, log: { ...session.log, raw: () => {}, line: () => {}, access: () => {} } }
  const server = createServer((request, response) => {
    answerEngine(quiet, request, response).catch(() => response.destroy())
  })
  const port = await listen(server)
  for (let round = 0; round < rounds; round += 1) await Promise.all(paths.map((path) => ask(port, path)))
  server.closeAllConnections()
  server.close()
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function ask(port: number, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = get({ host: '127.0.0.1', port, path }, (answer) => answer.resume().once('close', resolve))
    asked.once('error', reject)
  })
}
