// Whether the control listener may bind where it is told to (DESIGN.md section 1): beyond loopback only with a key.
import { renderHost } from '../core/host-port.ts'
import type { ListenersConfig } from './listeners.ts'

/** @returns why the listener is refused, or undefined. Only this listener: the daemon goes on. */
export function judgeControl({
  controlHost,
  accessKey,
  accessKeyFile,
}: Pick<ListenersConfig, 'controlHost' | 'accessKey' | 'accessKeyFile'>): string | undefined {
  if (accessKey || accessKeyFile || isLoopback(controlHost)) return undefined
  return `${renderHost(controlHost)} can be reached from outside and there is no key, so the control and gRPC listeners stay closed`
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host) || /^::ffff:127\./i.test(host)
}
