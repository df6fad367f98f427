// `gonka-node version`
import { readVersion } from '../core/version.ts'
import { exits, type Verb } from './verb.ts'

export const version: Verb = {
  usage: '[--json]',
  summary: 'prints the version of gonka-node and of Node.js',
  help: '--json         one line of JSON, for programs',
  options: { json: { type: 'boolean' } },
  positionals: 0,
  run: async ({ flags, out }) => {
    const found = { version: readVersion(), node: process.versions.node }
    out.write(flags['json'] ? `${JSON.stringify(found)}\n` : `gonka-node ${found.version} (node ${found.node})\n`)
    return exits.ok
  },
}
