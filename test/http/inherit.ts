// A daemon in miniature for listener.test.ts: inherits a socket as descriptor 3 and listens on the port of its argument.
import { silentLog } from '../../src/core/log.ts'
import { startListener } from '../../src/http/listener.ts'

const calls: string[] = []
const listener = startListener({
  name: 'node',
  host: process.argv[3] ?? '127.0.0.1',
  port: Number(process.argv[2]),
  fdStore: { take: () => 3, keep: () => void calls.push('keep'), forget: () => void calls.push('forget') },
  onRequest: (_request, response) => void response.end('inherited'),
  log: silentLog,
})
const timer = setInterval(() => {
  const { value } = listener.address
  if (!value) return
  clearInterval(timer)
  process.stdout.write(`${[value.port, ...calls].join(' ')}\n`)
}, 5)
