// Reads a configuration file as frp does: by extension, as a template with .Envs, unknown keys refused, frp's own error texts.
import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'

/** What frp prints before it exits 1. */
export class FileError extends Error {
  override readonly name = 'FileError'
}

/** @throws FileError with frp's text */
export function readFrpFile<T>(path: string, schema: z.ZodType<T>): T {
  const text = renderTemplate(readText(path))
  const shaped = schema.safeParse(path.endsWith('.json') ? parseJson(text) : parseToml(text))
  if (shaped.success) return shaped.data
  throw new FileError(describeIssue(shaped.error.issues))
}

/** The token, wherever the configuration has it: trimmed, read once. */
export function readToken(auth: {
  token?: string | undefined
  tokenSource?: { file: { path: string } } | undefined
}): string {
  return auth.tokenSource ? readText(auth.tokenSource.file.path).trim() : (auth.token ?? '')
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') throw new FileError(`open ${path}: no such file or directory`)
    throw new FileError(`open ${path}: ${(error as Error).message}`)
  }
}

function renderTemplate(text: string): string {
  const rendered = text.replaceAll(/\{\{\s*\.Envs\.(\w+)\s*\}\}/g, (_all, name: string) => process.env[name] ?? '')
  if (rendered.includes('{{')) throw new FileError('template: frp:1: function not defined')
  return rendered
}

function parseToml(text: string): unknown {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new FileError(`toml: line ${error.line}, column ${error.column}: ${error.message.split('\n')[0]}`)
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FileError((error as Error).message)
  }
}

function describeIssue(issues: readonly z.core.$ZodIssue[]): string {
  const unknown = issues.find((one) => one.code === 'unrecognized_keys')
  if (unknown) return `json: unknown field "${unknown.keys[0]}"`
  const [first] = issues
  return `invalid ${first?.path.join('.')}: ${first?.message}`
}
