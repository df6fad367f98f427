// An engine that gets ready when told: each line is a port and after how many ms it listens there, healthy from the first moment. Prints
// when that was, ms since 1970.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

const answers: Record<string, string> = {
  '/health': '',
  '/v1/models': '{"data":[{"id":"tiny"}]}',
  '/api/v1/pow/status': '{"status":"IDLE","config":null,"stats":null}',
}

process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  const [port = 0, after = 0] = line.split(' ').map(Number)
  await wait(after)
  const server = createServer((asked, answer) => void answer.end(answers[asked.url ?? ''] ?? ''))
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`${performance.timeOrigin + performance.now()}\n`)
  // Its next life is at another port.
  server.unref()
}
process.exit(0)
