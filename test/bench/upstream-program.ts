// The engine of the bench: raw TCP, so that it costs next to nothing. GET: a 1 KB JSON answer. /v1/stream?n=N&ms=M: N paced chunks.
import { createServer, type Socket } from 'node:net'

const body = JSON.stringify({ text: 'x'.repeat(1000) })
const whole = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const event = `data: ${JSON.stringify({ id: 'chatcmpl-0', choices: [{ index: 0, delta: { content: 'token' } }], pad: 'x'.repeat(120) })}\n\n`
const chunk = `${event.length.toString(16)}\r\n${event}\r\n`

createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  let text = ''
  socket.on('data', (part: Buffer) => {
    text += part.toString('latin1')
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      answer(socket, text.slice(0, end))
      text = text.slice(end + 4)
    }
  })
}).listen(Number(process.argv[2] ?? 0), '127.0.0.1', function listening(this: { address(): unknown }) {
  process.stdout.write(`${(this.address() as { port: number }).port}\n`)
})

function answer(socket: Socket, request: string): void {
  const stream = /^GET \/v1\/stream\?n=(\d+)&ms=(\d+)/.exec(request)
  if (!stream) return void socket.write(whole)
  socket.write(head)
  let left = Number(stream[1])
  const timer = setInterval(() => {
    left -= 1
    socket.write(left > 0 ? chunk : `${chunk}0\r\n\r\n`)
    if (left <= 0) clearInterval(timer)
  }, Number(stream[2]))
  socket.once('close', () => clearInterval(timer))
}
