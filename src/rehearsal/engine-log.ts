// Lines as vLLM and uvicorn print them (facts/vllm.md 2.6): which stream, which prefix, which process.
import { writeSync } from 'node:fs'
import type { Generation } from './engine-knobs.ts'

export type EngineLog = {
  /** A vLLM line. `from` names the process in the generations that prefix it. */
  line(level: 'INFO' | 'WARNING' | 'ERROR', file: string, message: string, from?: string): void
  /** As it is, to stderr: tracebacks, argparse, uvicorn, progress bars. */
  raw(text: string): void
  access(line: string): void
}

export function createEngineLog(generation: Generation): EngineLog {
  const prefixed = generation !== 'v0-overlay'
  return {
    line(level, file, message, from = `APIServer pid=${process.pid}`) {
      const stamp = new Date().toISOString().replace('T', ' ').slice(5, 19)
      const prefix = prefixed ? `(${from}) ` : ''
      const text = message.split('\n').map((one) => `${prefix}${level} ${stamp} [${file}] ${one}\n`)
      write(level === 'INFO' ? 1 : 2, text.join(''))
    },
    raw: (text) => write(2, `${text}\n`),
    access: (line) => write(1, `INFO:     ${line}\n`),
  }
}

/** Synchronous, so that the last words before a crash arrive; a reader that is gone or slow is not waited for. */
function write(fd: number, text: string): void {
  try {
    writeSync(fd, text)
  } catch {
    // EAGAIN or EPIPE: the line is lost, the engine lives
  }
}
