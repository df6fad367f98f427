#!/usr/bin/env node
// Stands in for frps: carries TCP for the rehearsal frpc, obeys the keys of frps-config.ts, refuses with frp's texts.
// Knobs: REHEARSAL_FRPS_REFUSE_LOGINS=N, REHEARSAL_FRPS_DROP_AFTER_MS=N, and those of its dashboard.
import { parseArgs } from 'node:util'
import { FileError, readFrpFile, readToken } from './frpc-file.ts'
import { frpsSchema } from './frps-config.ts'
import { startDashboard } from './frps-dashboard.ts'
import { FrpsServer } from './frps-server.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  strict: false,
  options: { config: { type: 'string', short: 'c' }, version: { type: 'boolean', short: 'v' } },
})
const file = typeof values.config === 'string' ? values.config : './frps.ini'

try {
  if (values.version) console.log('0.70.0')
  else if (positionals[0] === 'verify') verify(file)
  else run(file)
} catch (error) {
  if (!(error instanceof FileError)) throw error
  console.log(error.message)
  process.exitCode = 1
}

function verify(path: string): void {
  readFrpFile(path, frpsSchema)
  console.log(`frps: the configuration file ${path} syntax is ok`)
}

function run(path: string): void {
  const config = readFrpFile(path, frpsSchema)
  const dropAfter = process.env['REHEARSAL_FRPS_DROP_AFTER_MS']
  const server = new FrpsServer(config, readToken(config.auth), {
    refuseLogins: Number(process.env['REHEARSAL_FRPS_REFUSE_LOGINS'] ?? 0),
    dropAfterMs: dropAfter === undefined ? undefined : Number(dropAfter),
  })
  server.listen().on('error', (error) => {
    console.log(`create server listener error, listen tcp ${config.bindAddr}:${config.bindPort}: ${error.message}`)
    process.exit(1)
  })
  if (config.webServer) startDashboard(server, config.webServer)
}
