// Every secret that the process knows is told here once, and from then on is blotted out of whatever passes through redact().

export interface Secrets {
  /** Values shorter than 4 characters are ignored: blotting them out would garble everything. */
  add(value: string | undefined): void
  redact(text: string): string
}

export function createSecrets(): Secrets {
  const known = new Set<string>()
  return {
    add(value) {
      if (value && value.length >= 4) known.add(value)
    },
    redact(text) {
      let out = text
      for (const secret of known) if (out.includes(secret)) out = out.replaceAll(secret, '[redacted]')
      return out
    },
  }
}
