// Which frpc understands which configuration: keys came with versions, and an unknown key ends frpc at its start.
import type { FrpcConfig } from './frpc-schema.ts'

type Need = { minor: number; key: string; used: (config: FrpcConfig) => boolean }

/** Release notes of frp (facts of 0.52 to 0.70): the first 0.x that reads each key. */
const needs: Need[] = [
  { minor: 52, key: 'a TOML configuration', used: () => true },
  { minor: 64, key: 'auth.tokenSource', used: ({ auth }) => auth?.tokenSource !== undefined },
  { minor: 66, key: 'proxies.enabled', used: ({ proxies = [] }) => proxies.some((one) => one.enabled !== undefined) },
  { minor: 67, key: 'clientID', used: ({ clientID }) => clientID !== undefined },
  { minor: 68, key: 'store', used: ({ store }) => store !== undefined },
  { minor: 69, key: 'transport.wireProtocol', used: ({ transport }) => transport?.wireProtocol !== undefined },
]

/**
 * What `version` (as `frpc -v` prints it, `0.64.0`) is too old for, one text per key; empty when it reads everything.
 * A version that is not of this form is assumed to be new.
 */
export function judgeVersion(config: FrpcConfig, version: string): string[] {
  const match = /^v?(\d+)\.(\d+)/.exec(version.trim())
  if (!match || Number(match[1]) > 0) return []
  return needs
    .filter(({ minor, used }) => Number(match[2]) < minor && used(config))
    .map(({ minor, key }) => `${key} needs frpc 0.${minor}.0, this is ${version.trim()}`)
}
