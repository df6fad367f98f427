import { expect, test } from 'vitest'
import { type AnswerHead, AnswerReader } from '../../src/proxy/answer-reader.ts'

type Seen = { heads: AnswerHead[]; body: string; over: boolean; reusable: boolean; rest: string; untilClose: boolean }

/** Reads `text` in pieces of `size` bytes, as the network may bring them. `onFrames`: takes whole chunks as they are framed. */
function read(text: string, size: number, isHead = false, onFrames?: (frames: string) => void): Seen {
  const reader = new AnswerReader()
  const seen = { heads: [] as AnswerHead[], body: '' }
  const taker = {
    head: (head: AnswerHead) => void seen.heads.push(head),
    body: (bytes: Buffer, from: number, to: number) => void (seen.body += bytes.toString('latin1', from, to)),
  }
  const frames = (bytes: Buffer, from: number, to: number) => {
    onFrames?.(bytes.toString('latin1', from, to))
    seen.body += unframe(bytes.toString('latin1', from, to))
    return true
  }
  reader.begin(onFrames ? { ...taker, frames } : taker, isHead)
  let at = 0
  while (at < text.length && !reader.isOver) {
    // Longer than what came, as the memory that connections share is.
    const bytes = Buffer.from(`${text.slice(at, at + size)}0\r\n\r\nHTTP`, 'latin1')
    at += reader.read(bytes, Math.min(size, text.length - at))
  }
  return { ...seen, over: reader.isOver, reusable: reader.isReusable, rest: text.slice(at), untilClose: reader.close() }
}

/** What is in chunks that are whole. */
function unframe(frames: string): string {
  let content = ''
  for (let at = 0; at < frames.length;) {
    const line = frames.indexOf('\r\n', at)
    const size = Number.parseInt(frames.slice(at, line), 16)
    content += frames.slice(line + 2, line + 2 + size)
    at = line + 4 + size
  }
  return content
}

const ok = 'HTTP/1.1 200 OK\r\n'
const chunked = `${ok}Transfer-Encoding: Chunked\r\n\r\n`

test.each([
  ['a length', `${ok}content-length: 5\r\n\r\nhello`, 'hello', true],
  ['an empty body', `${ok}Content-Length: 0\r\n\r\n`, '', true],
  ['chunks', `${chunked}5\r\nhello\r\nA\r\n 0123\r\n789\r\n0\r\n\r\n`, 'hello 0123\r\n789', true],
  ['chunks with extensions and a trailer', `${chunked}5;a="b"\r\nhello\r\n0;x\r\nA: b\r\nC: d\r\n\r\n`, 'hello', true],
  [
    'interim answers before it',
    `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${ok}content-length: 2\r\n\r\nok`,
    'ok',
    true,
  ],
  ['no body by its status', 'HTTP/1.1 204 No Content\r\n\r\n', '', true],
  ['a connection that closes', `${ok}Connection: x, Close\r\ncontent-length: 2\r\n\r\nok`, 'ok', false],
  ['an old version', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok', 'ok', false],
])('an answer with %s is read whole, however it is cut', (_, text, body, reusable) => {
  for (let size = 1; size <= text.length; size += 1)
    for (const onFrames of [undefined, () => {}])
      expect(read(text, size, false, onFrames)).toMatchObject({ body, over: true, reusable, rest: '', heads: [{}] })
})

test('chunks that come whole and plain are handed on in one piece with their framing, others without', () => {
  const [plain, odd] = ['5\r\nhello\r\nA\r\n 0123\r\n789\r\n', '2;x=y\r\n, \r\n0000000005\r\nworld\r\n']
  const pieces: string[] = []
  const { body, over } = read(`${chunked}${plain}${odd}${plain}0\r\n\r\n`, 1000, false, (frames) => pieces.push(frames))
  expect({ pieces, body, over }).toEqual({
    pieces: [plain, plain],
    body: 'hello 0123\r\n789, worldhello 0123\r\n789',
    over: true,
  })
})

test('the head is handed on as it was written', () => {
  const { heads } = read(
    'HTTP/1.1 429 Too  Many\r\nX-A:  b\t\r\nx-a: \u00e4\u00a0\r\nEmpty:\r\nContent-Length: 0\r\n\r\n',
    7,
  )
  const headers = ['X-A', 'b', 'x-a', '\u00e4\u00a0', 'Empty', '', 'Content-Length', '0']
  expect(heads).toEqual([{ status: 429, message: 'Too  Many', headers }])
})

test('the answer to a HEAD has no body, whatever it says', () => {
  expect(read(`${ok}content-length: 5\r\n\r\n`, 100, true)).toMatchObject({ over: true, body: '', reusable: true })
})

test('without a length the end is that of the connection, and only there', () => {
  expect(read(`${ok}\r\nto the end`, 3)).toMatchObject({ over: false, untilClose: true, body: 'to the end' })
  expect(read(`${chunked}5\r\nhel`, 100).untilClose).toBe(false)
  expect(read(`${ok}content-length: 5\r\n\r\nhel`, 100).untilClose).toBe(false)
})

test('what comes after the end is left', () => {
  expect(read(`${ok}content-length: 2\r\n\r\nokmore`, 1000)).toMatchObject({ body: 'ok', over: true, rest: 'more' })
})

test.each([
  ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['another version', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['an upgrade', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
  ['a line without a colon', `${ok}garbage\r\n\r\n`],
  ['a folded line', `${ok}a: b\r\n c: d\r\n\r\n`],
  ['a blank before the colon', `${ok}content-length : 5\r\n\r\n`],
  ['a length that is none', `${ok}content-length: 5x\r\n\r\n`],
  ['a negative length', `${ok}content-length: -5\r\n\r\n`],
  ['two lengths', `${ok}content-length: 5\r\ncontent-length: 6\r\n\r\n`],
  ['a length and chunks', `${ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`],
  ['an encoding that we do not know', `${ok}transfer-encoding: gzip, chunked\r\n\r\n`],
  ['a chunk without a size', `${chunked}\r\nhello\r\n`],
  ['a size that is none', `${chunked}5g\r\nhello\r\n`],
  ['a size beyond all bounds', `${chunked}fffffffffffff\r\n`],
  ['a chunk that is longer than its size', `${chunked}3\r\nhello\r\n`],
  ['a size without its line end', `${chunked}5\nhello`],
  ['an endless extension', `${chunked}5;${'x'.repeat(20_000)}`],
  ['an endless trailer', `${chunked}0\r\n${'a: b\r\n'.repeat(5000)}`],
  ['an endless head', `${ok}${'a: b\r\n'.repeat(20_000)}`],
])('%s is refused, however it is cut', (_, text) => {
  for (const size of [1, 2, 3, 1000, 100_000])
    for (const onFrames of [undefined, () => {}]) expect(() => read(text, size, false, onFrames)).toThrow('is no HTTP')
})
