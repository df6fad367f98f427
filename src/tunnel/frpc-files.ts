// The two files of a frpc: its configuration and its token, each 0600 in a folder that only we can open, replaced whole.
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseFrpc, renderFrpc } from '../frp-config/frpc-config.ts'
import type { Admin } from './frpc-admin.ts'
import { keyOf, planFrpc, type TunnelWish } from './plan-frpc.ts'

export type FrpcFiles = { config: string; token: string }

export function frpcFiles(dir: string, wish: TunnelWish): FrpcFiles {
  const key = keyOf(wish.server)
  return { config: join(dir, `${key}.toml`), token: join(dir, `${key}.token`) }
}

/**
 * Writes both for a launch and makes up the password of the admin API.
 * @throws FrpcConfigError for settings that frpc would refuse; what the file system says (EACCES, ENOSPC, EROFS)
 */
export async function writeFrpcFiles(
  files: FrpcFiles,
  wish: TunnelWish,
  how: { tokenFrom: 'file' | 'toml'; adminPort: number },
): Promise<Admin> {
  const admin = { port: how.adminPort, user: 'gonka', password: randomBytes(18).toString('base64url') }
  const tokenPath = how.tokenFrom === 'file' ? files.token : undefined
  const text = renderFrpc(planFrpc(wish, { tokenPath, admin }))
  if (tokenPath && wish.token !== undefined) await writePrivate(tokenPath, wish.token)
  else await unlink(files.token).catch(() => {})
  await writePrivate(files.config, text)
  return admin
}

/** The admin API of a frpc that was launched with this file, so that it can be adopted; undefined when it cannot be told. */
export async function readAdmin(path: string): Promise<Admin | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const parsed = parseFrpc(text)
  const { port, user, password } = (parsed.ok ? parsed.config.webServer : undefined) ?? {}
  return port === undefined || user === undefined || password === undefined ? undefined : { port, user, password }
}

async function writePrivate(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const beside = `${path}.${process.pid}.tmp`
  await unlink(beside).catch(() => {})
  const file = await open(beside, 'wx', 0o600)
  try {
    await file.writeFile(text)
  } finally {
    await file.close()
  }
  await rename(beside, path).catch(async (error: unknown) => {
    await unlink(beside).catch(() => {})
    throw error
  })
}
