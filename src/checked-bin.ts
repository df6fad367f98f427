#!/usr/bin/env node
// What npm users start: bin.ts, which older versions of Node.js cannot even load, behind a look at the version. Imports nothing before
// it, and says in one sentence what is missing.

const oldest = 24
if (Number.parseInt(process.versions.node, 10) >= oldest) await import('./bin.ts')
else {
  const client = 'gonka-node/client alone runs on Node.js 20 too'
  process.stderr.write(`gonka-node needs Node.js ${oldest} or newer, and this is ${process.version}; ${client}\n`)
  process.exitCode = 1
}

export {}
