// What a registration body must look like (contracts/api-nodes.md 3.3). Unknown keys pass: API nodes ignore them.
import { z } from 'zod'

const portNumber = z.int().min(1).max(65535)

export const registrationBody = z.looseObject({
  id: z.string().trim().min(1),
  host: z
    .string()
    .trim()
    .min(1)
    .regex(/^(?!\w+:\/\/)/, 'must have no scheme: it is pasted after http://')
    .optional(),
  inference_port: portNumber.optional(),
  poc_port: portNumber.optional(),
  inference_segment: z.string().optional(),
  poc_segment: z.string().optional(),
  base_url: z.url({ protocol: /^https?$/ }).optional(),
  auth_token: z.string().optional(),
  max_concurrent: z.int().positive(),
  models: z
    .record(z.string().min(1), z.looseObject({ args: z.array(z.string()).optional() }))
    .refine((models) => Object.keys(models).length > 0, 'needs at least one model'),
  hardware: z.array(z.looseObject({ type: z.string(), count: z.int() })).optional(),
})

export type RegistrationBody = z.output<typeof registrationBody>

/** @returns what is wrong, or undefined. `host` and ports, or `base_url`, never both. */
export function checkRegistration(value: Record<string, unknown>): string | undefined {
  const found = registrationBody.safeParse(value)
  if (!found.success)
    return found.error.issues.map((one) => `${one.path.join('.') || 'body'}: ${one.message}`).join('; ')
  const { host, inference_port, poc_port, base_url } = found.data
  if (base_url && (host || inference_port || poc_port)) return 'base_url excludes host, inference_port and poc_port'
  if (!base_url && !(host && inference_port && poc_port)) return 'needs host, inference_port and poc_port (or base_url)'
  return undefined
}
