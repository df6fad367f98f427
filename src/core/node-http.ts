// node:http without its named exports: reading those makes Node load a whole undici of its own for `WebSocket`, which costs
// every start 25 ms and 13 MB.
const http = process.getBuiltinModule('node:http')

export const { Agent, createServer, request } = http
export type Agent = InstanceType<typeof http.Agent>
export type { IncomingMessage, Server, ServerResponse } from 'node:http'
