// A port that is bound early and listened on late, as vLLM does: until then a connect is refused, and a second engine fails at once.
import type { Server } from 'node:http'

type TcpHandle = { bind(host: string, port: number): number; getsockname(into: object): number; close(): void }
type TcpBinding = { TCP: new (type: number) => TcpHandle; constants: { SOCKET: number } }

/** @throws `EADDRINUSE` */
export function bindPort(host: string, port: number): TcpHandle {
  // libuv alone can bind without listening, and Node offers it nowhere else.
  const { binding } = process as unknown as { binding: (name: 'tcp_wrap') => TcpBinding }
  const { TCP, constants } = binding('tcp_wrap')
  const handle = new TCP(constants.SOCKET)
  // A port in use is told by libuv only when asked again.
  if (handle.bind(host === 'localhost' ? '127.0.0.1' : host, port) < 0 || handle.getsockname({}) < 0) {
    handle.close()
    throw Object.assign(new Error('[Errno 98] Address already in use'), { code: 'EADDRINUSE' })
  }
  return handle
}

export function listenOn(server: Server, handle: TcpHandle): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(handle as never, 2048, resolve)
  })
}
