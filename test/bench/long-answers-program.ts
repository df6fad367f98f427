// An engine that answers every completion at once with 16 KB, also in pieces of a token, and every text with an embedding of as many.
// Prints its port.
import { createServer, type AddressInfo } from 'node:net'

const size = 16_384

const completion = {
  choices: [{ index: 0, text: 'x'.repeat(size), finish_reason: 'length' }],
  usage: { prompt_tokens: 12, completion_tokens: 4096 },
}
// Floats are four bytes each.
const embedding = { data: [{ index: 0, embedding: Array.from({ length: size / 4 }, (_, at) => at / size) }] }
const event = `data: ${JSON.stringify({ choices: [{ index: 0, text: 'four', finish_reason: null }] })}\n\n`
const events = `${event.repeat(size / 4)}data: ${JSON.stringify({ choices: [], usage: completion.usage })}\n\ndata: [DONE]\n\n`

const answers = {
  completion: toAnswer(JSON.stringify(completion), 'application/json'),
  embedding: toAnswer(JSON.stringify(embedding), 'application/json'),
  events: toAnswer(events, 'text/event-stream'),
}

function toAnswer(body: string, type: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  // One request at a time and each in one piece, as our own connections send them.
  socket.setEncoding('latin1').on('data', (text: string) => {
    const isEmbed = text.startsWith('POST /v1/embeddings')
    socket.write(answers[isEmbed ? 'embedding' : text.includes('"stream":true') ? 'events' : 'completion'])
  })
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
