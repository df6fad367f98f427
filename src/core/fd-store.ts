// Listening sockets that outlive the daemon (D11, facts/systemd.md 3.7). host/systemd.ts keeps them under systemd; without
// systemd nothing is kept.

export interface FdStore {
  /** The inherited descriptor of that name, once. */
  take(name: string): number | undefined
  keep(name: string, fd: number): void
  forget(name: string): void
}

export const noFdStore: FdStore = { take: () => undefined, keep: () => {}, forget: () => {} }
