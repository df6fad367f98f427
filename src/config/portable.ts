// The spelling of a value that bash, systemd and dotenv all read alike (facts/systemd.md 3.3).

/** `NAME=value` as every reader understands it; undefined where no spelling does (a quote beside a `$`, a line break). */
export function renderPortable(name: string, value: string): string | undefined {
  if (/^[A-Za-z0-9_./:@%+,=-]*$/.test(value)) return `${name}=${value}`
  // A backslash before the closing quote would make dotenv look for a later one.
  if (!/['\0\r\n\u2028\u2029]|\\$/.test(value)) return `${name}='${value}'`
  if (!/["$`\\\0\r\n\u2028\u2029]/.test(value)) return `${name}="${value}"`
  return undefined
}

/** Names whose value must not be shown, ours or not. */
export function looksSecret(name: string): boolean {
  return /(^|_)TOKEN$|SECRET|PASSWORD|PASSWD|CREDENTIAL|(^|_)(API)?KEY(_VALUE)?$|^REGISTRATION_JSON$/i.test(name)
}
