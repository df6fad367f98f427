// Asks the admin API of a frpc on loopback (facts/frp.md 1.5). One kept connection; an answer is a value, never a throw.
import { Agent, request } from '../core/node-http.ts'
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'

export type Admin = { port: number; user: string; password: string }

export type ProxyState = { name: string; status: string; err: string }

export type Status = { kind: 'status'; proxies: readonly ProxyState[] } | { kind: 'silent'; why: string }

/** Keys are proxy types; newer versions add fields. */
const statusSchema = z.record(
  z.string(),
  z.array(z.object({ name: z.string(), status: z.string(), err: z.string().default('') })),
)

const patience = 2000
const longestAnswer = 65_536

export interface AdminClient extends Disposable {
  readStatus(): Promise<Status>
}

export function createAdminClient(admin: Admin): AdminClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    readStatus: () => readStatus(admin, agent),
    [Symbol.dispose]: () => agent.destroy(),
  }
}

async function readStatus(admin: Admin, agent: Agent): Promise<Status> {
  try {
    const { status, body } = await get(admin, agent)
    if (status !== 200) return { kind: 'silent', why: `answered ${status}` }
    return { kind: 'status', proxies: Object.values(statusSchema.parse(JSON.parse(body))).flat() }
  } catch (error) {
    return { kind: 'silent', why: error instanceof z.ZodError ? 'answered in another shape' : messageOf(error) }
  }
}

function get(admin: Admin, agent: Agent): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: '127.0.0.1',
      port: admin.port,
      path: '/api/status',
      agent,
      auth: `${admin.user}:${admin.password}`,
    })
    const late = setTimeout(() => outgoing.destroy(new Error(`does not answer within ${patience} ms`)), patience)
    const fail = (error: Error) => {
      clearTimeout(late)
      reject(error)
    }
    outgoing.on('error', fail)
    outgoing.on('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        body += text
        if (body.length > longestAnswer) outgoing.destroy(new Error('answered too much'))
      })
      response.on('error', fail)
      response.on('end', () => {
        clearTimeout(late)
        resolve({ status: response.statusCode ?? 0, body })
      })
    })
    outgoing.end()
  })
}
