// What frpc's own log says about its login: the admin API has no word for it (facts/frp.md 1.4, 1.5).

export type LogReading = {
  /** Why the last login failed; undefined after a success, and before any try. */
  loginError?: string
  /** How many logins have failed since the last success, as far as the lines tell. */
  loginErrors?: number
  /** The last complaint that our own listener could not be reached. */
  localError?: string
  /** The last line, whatever it says: of a dead frpc, the reason. */
  last?: string
  /** When that was said, as frpc wrote it: `18:01:02`. */
  lastAt?: string
}

/** From the last lines of a log, oldest first. */
export function parseFrpcLog(lines: readonly string[]): LogReading {
  const reading: LogReading = {}
  for (const line of lines) {
    if (line.trim() === '') continue
    reading.last = strip(line)
    const at = /^\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d)/.exec(line)?.[1]
    if (at === undefined) delete reading.lastAt
    else reading.lastAt = at
    if (line.includes('login to server success')) {
      delete reading.loginError
      delete reading.loginErrors
    }
    const error = /(?:connect to server error|login to the server failed): (.*)$/.exec(line)?.[1]
    if (error) {
      reading.loginError = error.replace(/\. With loginFailExit enabled.*$/, '')
      reading.loginErrors = (reading.loginErrors ?? 0) + 1
    }
    const local = /connect to local service \[.*$/.exec(line)?.[0]
    if (local) reading.localError = local
  }
  return reading
}

/** Without time, level and source, which say nothing to whoever reads evidence. */
function strip(line: string): string {
  return line.replace(/^\d{4}-\d\d-\d\d [\d:.]+ /, '').slice(0, 500)
}
