// The admin API of the rehearsal frpc: the table of facts/frp.md 1.5.
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { FrpcConfig } from '../frp-config/frpc-config.ts'
import type { FrpcClient } from './frpc-client.ts'
import { FileError } from './frpc-file.ts'

export type AdminOptions = {
  client: FrpcClient
  config: FrpcConfig
  path: string
  /** Reads the file again. Not strict: unknown keys are dropped. @throws FileError */
  reread: (strict: boolean) => FrpcConfig
  emptyUntil: number
}

type Route = (options: AdminOptions, request: IncomingMessage, response: ServerResponse) => Promise<void> | void

const routes: Record<string, Route> = {
  'GET /api/status': ({ client, config, emptyUntil }, _request, response) => {
    const all = performance.now() < emptyUntil ? [] : client.statuses()
    const tcp = all.map(({ proxy, status, err, remotePort }) => ({
      name: proxy.name,
      type: proxy.type,
      status,
      err,
      local_addr: `${proxy.localIP ?? '127.0.0.1'}:${proxy.localPort}`,
      plugin: '',
      remote_addr: err ? '' : `${config.serverAddr}:${remotePort}`,
    }))
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(tcp.length > 0 ? { tcp } : {}))
  },
  'GET /api/reload': ({ client, reread }, request, response) => {
    try {
      client.reload(reread(/[?&]strictConfig=true/.test(request.url ?? '')).proxies ?? [])
      response.writeHead(200).end()
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      response.writeHead(400).end(JSON.stringify({ Code: 400, Msg: `invalid argument: ${error.message}` }))
    }
  },
  'POST /api/stop': (_options, _request, response) => {
    response.writeHead(200).end()
    setTimeout(() => process.exit(0), 100)
  },
  'GET /api/config': async ({ path }, _request, response) => {
    response.writeHead(200).end(await readFile(path, 'utf8'))
  },
  'PUT /api/config': async ({ path }, request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    await writeFile(path, Buffer.concat(chunks), { mode: 0o600 })
    response.writeHead(200).end()
  },
}

/** Listens where the configuration says; the caller hears of a busy port through the server's `error`. */
export function startAdmin(options: AdminOptions): Server {
  const { addr = '127.0.0.1', port = 0, user, password } = options.config.webServer ?? {}
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?')
    if (path === '/healthz') return void response.writeHead(200).end()
    if ((user || password) && request.headers.authorization !== basic(user, password))
      return void setTimeout(() => response.writeHead(401).end('Unauthorized'), 200)
    const route = routes[`${request.method} ${path}`]
    if (!route) return void response.writeHead(404).end('404 page not found')
    void Promise.resolve(route(options, request, response)).catch(() => response.destroy())
  })
  return server.listen(port, addr)
}

function basic(user = '', password = ''): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
