#!/usr/bin/env node
// Stands in for frpc: command line, exit codes, log lines, admin API and waits as facts/frp.md 1.3-1.9 measured them; carries
// TCP to the rehearsal frps. Knobs: frpc-knobs.ts. SIGTERM is the system's own: it dies by the signal, as frpc does.
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { checkFrpc, type FrpcConfig } from '../frp-config/frpc-config.ts'
import { frpcSchema } from '../frp-config/frpc-schema.ts'
import { startAdmin } from './frpc-admin.ts'
import { FrpcClient } from './frpc-client.ts'
import { FileError, readFrpFile, readToken } from './frpc-file.ts'
import { readFrpcKnobs } from './frpc-knobs.ts'
import { logLine } from './frps-wire.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { config: { type: 'string', short: 'c' }, version: { type: 'boolean', short: 'v' } },
})
const file = typeof values.config === 'string' ? values.config : './frpc.ini'
const knobs = readFrpcKnobs(process.env)
/** frp has defaults where ours demands a word. */
const schema = frpcSchema.extend({ serverAddr: z.string().default('0.0.0.0'), serverPort: z.int().default(7000) })

try {
  if (values.version) console.log(knobs.version)
  else if (positionals[0] === 'verify') verify(file)
  else await run(file)
} catch (error) {
  if (!(error instanceof FileError)) throw error
  die(error.message)
}

function verify(path: string): void {
  readConfig(path)
  console.log(`frpc: the configuration file ${path} syntax is ok`)
}

async function run(path: string): Promise<void> {
  const config = readConfig(path)
  if (knobs.deaf) process.on('SIGTERM', () => {})
  logLine('I', 'sub/root.go:185', `start frpc service for config file [${path}]`)
  const client = new FrpcClient(config, readToken(config.auth ?? {}), knobs.scale)
  if (config.webServer) {
    const emptyUntil = performance.now() + knobs.emptyStatusMs
    startAdmin({ client, config, path, emptyUntil, reread: (strict) => readConfig(path, strict) }).on('error', () =>
      die(`listen tcp ${config.webServer?.addr}:${config.webServer?.port}: bind: address already in use`),
    )
  }
  die(await client.run())
}

/** Strict as frp's default; relaxed, what is unknown is dropped. */
function readConfig(path: string, strict = true): FrpcConfig {
  const config = readFrpFile(path, strict ? schema : schema.strip())
  const names = (config.proxies ?? []).map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new FileError(`proxy name [${twice}] is duplicated`)
  const checked = checkFrpc(config)
  const wrong = checked.ok ? '' : checked.problems.join('; ')
  if (wrong.includes('heartbeatTimeout'))
    throw new FileError('invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat interval')
  if (wrong) throw new FileError(wrong)
  return config
}

function die(text: string): never {
  console.log(text)
  process.exit(1)
}
