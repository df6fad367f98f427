// The part of frps's configuration that the rehearsal server obeys. Other keys of the real one are unknown to it.
import { z } from 'zod'

const port = z.int().min(0).max(65_535)

export const frpsSchema = z.strictObject({
  bindAddr: z.string().default('0.0.0.0'),
  bindPort: port.default(7000),
  proxyBindAddr: z.string().optional(),
  auth: z
    .strictObject({
      method: z.literal('token').optional(),
      token: z.string().optional(),
      tokenSource: z.strictObject({ type: z.literal('file'), file: z.strictObject({ path: z.string() }) }).optional(),
    })
    .default({}),
  allowPorts: z
    .array(z.strictObject({ start: port.optional(), end: port.optional(), single: port.optional() }))
    .default([]),
  maxPortsPerClient: z.int().default(0),
  detailedErrorsToClient: z.boolean().default(true),
  webServer: z
    .strictObject({
      addr: z.string().default('127.0.0.1'),
      port,
      user: z.string().optional(),
      password: z.string().optional(),
    })
    .optional(),
  log: z
    .strictObject({
      to: z.string().optional(),
      level: z.string().optional(),
      disablePrintColor: z.boolean().optional(),
    })
    .optional(),
})

export type FrpsConfig = z.infer<typeof frpsSchema>

/** An empty list allows every port. */
export function isAllowed(config: FrpsConfig, wanted: number): boolean {
  if (config.allowPorts.length === 0) return true
  return config.allowPorts.some(({ start, end, single }) =>
    single === undefined ? wanted >= (start ?? 0) && wanted <= (end ?? 0) : wanted === single,
  )
}
