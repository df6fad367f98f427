// Two launches that serve a model each, on engines that tell what they were asked.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { startBed } from './bed.ts'

/** An engine that says who it is, what it was asked, and which models it has. */
export async function startEngine(name: string, models: readonly string[] = [name]) {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.once('end', () => {
      const data = models.map((id) => ({ id, object: 'model', root: name }))
      const told = request.url === '/v1/models' ? { object: 'list', data } : { name, url: request.url }
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ ...told, bytes: Buffer.concat(chunks).length }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

export async function startTwo() {
  const bed = await startBed()
  bed.launches.add('a', { model: 'one', state: 'ready' })
  bed.launches.add('b', { model: 'two', state: 'ready' })
  bed.launches.serve('a', await startEngine('one', ['one', 'adapter']))
  bed.launches.serve('b', await startEngine('two'))
  const ask = async (body: string, path = '/v1/completions') => {
    const { status, text } = await bed.call('POST', path, { body, headers: { 'content-type': 'application/json' } })
    return {
      status,
      json: JSON.parse(text) as { name?: string; url?: string; bytes?: number; error?: { message: string } },
    }
  }
  return { ...bed, ask }
}
