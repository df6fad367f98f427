// An engine that answers every completion at once with 16 KB. Prints its port.
import { createServer, type AddressInfo } from 'node:net'

const body = JSON.stringify({
  choices: [{ index: 0, text: 'x'.repeat(16_384), finish_reason: 'length' }],
  usage: { prompt_tokens: 12, completion_tokens: 4096 },
})
const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  // One request at a time and each in one piece, as our own connections send them.
  socket.on('data', () => socket.write(answer))
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
