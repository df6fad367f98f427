// Makes a rehearsal program executable by its path alone: a small sh file that sets its knobs and runs it with our own Node.
import { chmod, writeFile } from 'node:fs/promises'

/** @param script absolute path of the program, @param env its knobs, also where the caller passes no environment on */
export async function writeProgram(
  path: string,
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const knobs = Object.entries(env).map(([name, value]) => `export ${name}=${quote(value)}`)
  await writeFile(path, ['#!/bin/sh', ...knobs, `exec ${quote(process.execPath)} ${quote(script)} "$@"`, ''].join('\n'))
  await chmod(path, 0o755)
  return path
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
