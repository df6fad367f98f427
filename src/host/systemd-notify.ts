// sd_notify through libsystemd (facts/systemd.md 3.1): Node itself cannot send to unix datagram sockets.

/** @param lines `READY=1`, several separated by newlines. Descriptors go to the fd store. Never throws. */
export type SendNotify = (lines: string, fds?: readonly number[]) => void

/**
 * koffi is loaded here and nowhere earlier. libsystemd reads NOTIFY_SOCKET at every call, so it is put back for the
 * microseconds of one: no child can be born in between. @throws where koffi or libsystemd.so.0 cannot be loaded
 */
export async function openNotify(socket: string): Promise<SendNotify> {
  const { default: koffi } = await import('koffi')
  const library = koffi.load('libsystemd.so.0')
  const notify = library.func(
    'int sd_pid_notify_with_fds(int pid, int unset, const char *state, const int *fds, uint count)',
  )
  return (lines, fds = []) => {
    process.env['NOTIFY_SOCKET'] = socket
    try {
      notify(0, 0, lines, Int32Array.from(fds), fds.length)
    } finally {
      delete process.env['NOTIFY_SOCKET']
    }
  }
}
