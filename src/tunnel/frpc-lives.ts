// The frpc processes of this machine: adopted from the daemon before us, launched, swept away when nobody wants them.
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { adoptBody, type Body, launchBody } from '../core/body.ts'
import { codeOf, messageOf } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Admin } from './frpc-admin.ts'
import { type FrpcFiles, readAdmin, writeFrpcFiles } from './frpc-files.ts'
import { digestWish, keyOf, type TunnelWish } from './plan-frpc.ts'

/** A frpc with what is needed to talk to it. */
export type Life = { body: Body; admin: Admin; version: string }

const metaSchema = z.object({
  digest: z.string(),
  key: z.string(),
  version: z.string(),
  files: z.object({ config: z.string(), token: z.string() }),
})

/** frpc ends within milliseconds of SIGTERM; it holds nothing that must be saved. */
export const gently = { signal: 'SIGTERM', patience: 2000 } as const

export type WantedLife = { wish: TunnelWish; files: FrpcFiles }

/**
 * Goes through every life in `folder`: adopts the one that each wish is served by already, and ends all others, also those
 * of servers that are not wanted any more. By key of the server. Never rejects.
 */
export async function adoptLives(
  folder: string,
  wanted: readonly WantedLife[],
  log: Log,
): Promise<ReadonlyMap<string, Life>> {
  const adopted = new Map<string, Life>()
  for (const name of await listFolders(folder, log)) {
    const path = join(folder, name)
    try {
      const body = await adoptBody(path, { log })
      const life = body && (await recognise(body, wanted))
      if (body && life && !adopted.has(life.key)) adopted.set(life.key, life)
      else await endLife(path, body, log)
      if (body && !life) await removeUnwanted(body, wanted)
    } catch (error) {
      log.warn({ life: name, why: messageOf(error) }, 'a frpc that is not wanted is still there')
    }
  }
  return adopted
}

async function recognise(body: Body, wanted: readonly WantedLife[]): Promise<(Life & { key: string }) | undefined> {
  const meta = metaSchema.safeParse(body.record.meta)
  if (!meta.success) return undefined
  const match = wanted.find(({ wish }) => keyOf(wish.server) === meta.data.key)
  if (!match || digestWish(match.wish) !== meta.data.digest) return undefined
  const admin = await readAdmin(match.files.config)
  if (!admin || body.origin !== originOf(admin)) return undefined
  return { body, admin, version: meta.data.version, key: meta.data.key }
}

/** Ended, and its folder with its log removed. */
async function endLife(folder: string, body: Body | undefined, log: Log): Promise<void> {
  if (body) {
    log.info({ life: body.id }, 'frpc of an earlier configuration ended')
    await body.end(gently)
  }
  await rm(folder, { recursive: true, force: true })
}

/** A token of a server that we no longer use has no business on this disk. */
async function removeUnwanted(body: Body, wanted: readonly WantedLife[]): Promise<void> {
  const meta = metaSchema.safeParse(body.record.meta)
  if (!meta.success) return
  const kept = new Set(wanted.flatMap(({ files }) => Object.values(files)))
  for (const path of Object.values(meta.data.files)) if (!kept.has(path)) await rm(path, { force: true })
}

/**
 * Writes the files and starts frpc, which is then known to the next daemon.
 * @throws FrpcConfigError, or what the file system says
 */
export async function launchLife(
  folder: string,
  { wish, files }: WantedLife,
  frpc: { path: string; version: string; tokenFrom: 'file' | 'toml'; searchPath: string },
  log: Log,
): Promise<Life> {
  const key = keyOf(wish.server)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const admin = await writeFrpcFiles(files, wish, { tokenFrom: frpc.tokenFrom, adminPort: await findPort() })
  const id = `frpc-${key}-${Date.now().toString(36)}${randomBytes(2).toString('hex')}`
  const meta: z.infer<typeof metaSchema> = { digest: digestWish(wish), key, version: frpc.version, files }
  const body = await launchBody(
    {
      id,
      folder: join(folder, id),
      command: frpc.path,
      args: ['-c', files.config],
      // Bare on purpose: frpc would take http_proxy from its environment.
      env: { PATH: frpc.searchPath },
      origin: originOf(admin),
      meta,
    },
    { log },
  )
  return { body, admin, version: frpc.version }
}

/** Before a launch: removes the folders of that server's dead lives but for the newest, whose log tells why it died. */
export async function removeOldLives(folder: string, key: string, log: Log): Promise<void> {
  const mine = (await listFolders(folder, log)).filter((name) => name.startsWith(`frpc-${key}-`))
  for (const name of mine.toSorted().slice(0, -1)) await rm(join(folder, name), { recursive: true, force: true })
}

const originOf = (admin: Admin): string => `http://127.0.0.1:${admin.port}`

async function listFolders(folder: string, log: Log): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') log.warn({ folder, why: messageOf(error) }, 'lives of frpc cannot be listed')
    return []
  }
}

/** Free a moment ago; should it be taken meanwhile, frpc says so and is launched again on another one. */
function findPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
