// Which daemon the command line talks to.

export const socketOption = { socket: { type: 'string' } } as const

/** Help of the flags that every verb over the socket has. */
export const socketHelp = `--json         one line of JSON, for programs
--socket PATH  another daemon than that of /run/gonka-node/control.sock; GONKA_SOCKET=PATH does the same`

export function pickSocket(flags: Record<string, unknown>): string {
  const named = flags['socket'] ?? process.env['GONKA_SOCKET']
  return typeof named === 'string' && named !== '' ? named : '/run/gonka-node/control.sock'
}
