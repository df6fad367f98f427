// Which daemon the command line talks to.

export const socketOption = { socket: { type: 'string' } } as const

export const socketHelp =
  '--socket PATH (or GONKA_SOCKET): the daemon of a rehearsal or a test instead of /run/gonka-node/control.sock'

export function pickSocket(flags: Record<string, unknown>): string {
  const named = flags['socket'] ?? process.env['GONKA_SOCKET']
  return typeof named === 'string' && named !== '' ? named : '/run/gonka-node/control.sock'
}
