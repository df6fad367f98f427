// The dashboard's API, as far as tests ask it, and the knobs that are turned while the server runs:
// POST /rehearsal/freeze, /rehearsal/thaw, /rehearsal/drop.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { FrpsConfig } from './frps-config.ts'
import type { FrpsServer } from './frps-server.ts'

export function startDashboard(server: FrpsServer, web: NonNullable<FrpsConfig['webServer']>): void {
  createServer((request, response) => answer(server, web, request, response)).listen(web.port, web.addr)
}

function answer(
  server: FrpsServer,
  web: NonNullable<FrpsConfig['webServer']>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const path = `${request.method} ${request.url}`
  if (path !== 'GET /healthz' && !isWelcome(web, request)) return void response.writeHead(401).end('Unauthorized')
  const json = (body: unknown) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  switch (path) {
    case 'GET /healthz':
      return void response.writeHead(200).end()
    case 'GET /api/serverinfo':
      return void json({ version: 'rehearsal', clientCounts: server.clients() })
    case 'GET /api/proxy/tcp':
      return void json({
        proxies: server.proxies().map(({ name, remotePort, status }) => ({ name, conf: { remotePort }, status })),
      })
    case 'POST /rehearsal/freeze':
    case 'POST /rehearsal/thaw':
      server.freeze(path.endsWith('freeze'))
      return void json({})
    case 'POST /rehearsal/drop':
      server.drop()
      return void json({})
    default:
      return void response.writeHead(404).end('404 page not found')
  }
}

function isWelcome(
  { user, password }: { user?: string | undefined; password?: string | undefined },
  request: IncomingMessage,
): boolean {
  if (!user && !password) return true
  return request.headers.authorization === `Basic ${Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64')}`
}
