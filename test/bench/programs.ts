// Starts the programs of the proxy rows and speaks with them.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../support/free-port.ts'
import { unitEnvironment } from './unit-environment.ts'
import type { BenchContext } from './row.ts'

export type Usage = { cpu: number; rss: number }
export type Load = { done: number; perSecond: number; p50: number; chunks: number }
export type Places = {
  direct: number
  proxy: number
  nginx: number | undefined
  usage: () => Promise<Usage>
  /** µs of CPU that nginx has used. */
  nginxCpu: () => number
}

/** The engine, our proxy before it, and nginx where it is on PATH; started once per run. */
export function startPlaces(context: BenchContext): Promise<Places> {
  return context.once('places', async () => {
    const direct = await startProgram(context, 'upstream-program.ts', '0')
    const proxy = await startProgram(context, 'proxy-program.ts', direct.line)
    const nginx = await startNginx(context, Number(direct.line))
    const usage = async () => {
      proxy.child.stdin?.write('\n')
      return JSON.parse(await proxy.next()) as Usage
    }
    const places = { direct: Number(direct.line), proxy: Number(proxy.line), usage }
    return { ...places, nginx: nginx?.port, nginxCpu: () => (nginx ? readWorkersCpu(nginx.pid) : 0) }
  })
}

export async function load(ask: {
  port: number
  connections: number
  seconds?: number
  requests?: number
  path?: string
}): Promise<Load> {
  const numbers = [ask.port, ask.connections, ask.seconds ?? 0, ask.requests ?? 0].map(String)
  const program = join(import.meta.dirname, 'load-program.ts')
  const child = spawn(process.execPath, [program, ...numbers, ask.path ?? '/v1/models'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const part of child.stdout.setEncoding('utf8')) text += part as string
  return JSON.parse(text) as Load
}

/** Its first line is its port. `next`: a later one. */
export async function startProgram(context: BenchContext, name: string, argument: string) {
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, name), argument], {
    env: { ...process.env, ...unitEnvironment() },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  context.after(() => void child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  const next = async () => String((await lines.next()).value)
  return { child, next, line: await next() }
}

/** Of the children of a process, µs: exact to the switch of tasks, as process.cpuUsage() is. */
function readWorkersCpu(pid: number): number {
  const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  const spent = workers.map((one) => Number(readFileSync(`/proc/${one}/schedstat`, 'utf8').split(' ')[0]))
  return spent.reduce((sum, ns) => sum + ns, 0) / 1000
}

export function hasNginx(): boolean {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function startNginx(context: BenchContext, upstream: number): Promise<{ port: number; pid: number } | undefined> {
  if (!hasNginx()) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'bench-nginx-'))
  const port = await freePort()
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((one) => `${one}_temp_path ${folder}/${one};`)
  const config = `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 10000000; ${temps.join(' ')}
  upstream engine { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 10000000; }
  server { listen 127.0.0.1:${port};
    location / { proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }\n`
  writeFileSync(join(folder, 'nginx.conf'), config)
  const child = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  context.after(async () => {
    child.kill('SIGTERM')
    await new Promise((resolve) => child.once('exit', resolve))
    rmSync(folder, { recursive: true, force: true })
  })
  for (let tries = 0; tries < 200; tries += 1) {
    if (
      await fetch(`http://127.0.0.1:${port}/v1/x`).then(
        () => true,
        () => false,
      )
    )
      return { port, pid: child.pid ?? 0 }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return undefined
}
