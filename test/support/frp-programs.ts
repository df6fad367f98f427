// Real frps and frpc where this machine has them: under FRP_BIN_DIR or on PATH. No package manager brings them.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export type FoundFrp = { found: true; frps: string; frpc: string } | { found: false; why: string }

export function findFrp(): FoundFrp {
  const folders = [process.env['FRP_BIN_DIR'] ?? '', ...(process.env['PATH'] ?? '').split(delimiter)].filter(Boolean)
  const [frps, frpc] = ['frps', 'frpc'].map((name) => folders.map((one) => join(one, name)).find(isProgram))
  return frps && frpc ? { found: true, frps, frpc } : { found: false, why: 'real frp is not on PATH' }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
