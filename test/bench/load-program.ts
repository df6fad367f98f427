// The load generator, a process of its own over raw sockets: PORT CONNECTIONS SECONDS|0 REQUESTS|0 PATH. Prints one JSON line.
import { connect } from 'node:net'

const [port = 0, connections = 1, seconds = 0, requests = 0] = process.argv.slice(2, 6).map(Number)
const path = process.argv[6] ?? '/v1/models'
const text = `GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`
const state = { asked: 0, done: 0, chunks: 0, latencies: [] as number[], end: performance.now() + seconds * 1000 }
const began = performance.now()
await Promise.all(Array.from({ length: connections }, run))
const took = (performance.now() - began) / 1000
state.latencies.sort((a, b) => a - b)
const p50 = state.latencies[state.latencies.length >> 1] ?? 0
process.stdout.write(
  `${JSON.stringify({ done: state.done, perSecond: state.done / took, p50, chunks: state.chunks })}\n`,
)

function run(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay(true)
    let got = ''
    let at = 0
    const ask = () => {
      const over = requests > 0 ? state.asked >= requests : performance.now() >= state.end
      if (over) {
        socket.destroy()
        return resolve()
      }
      state.asked += 1
      at = performance.now()
      socket.write(text)
    }
    socket.once('connect', ask)
    socket.on('error', reject)
    socket.on('close', resolve)
    socket.on('data', (part: Buffer) => {
      got += part.toString('latin1')
      if (!isWhole(got)) return
      state.done += 1
      state.chunks += got.split('data: ').length - 1
      state.latencies.push(performance.now() - at)
      got = ''
      ask()
    })
  })
}

function isWhole(got: string): boolean {
  const head = got.indexOf('\r\n\r\n')
  if (head < 0) return false
  const length = /content-length: (\d+)/i.exec(got.slice(0, head))
  return length ? got.length >= head + 4 + Number(length[1]) : got.endsWith('\r\n0\r\n\r\n')
}
