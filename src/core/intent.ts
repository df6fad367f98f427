// Why we are ending. In doubt it is 'restart': engines stay.

/**
 * stop: systemctl stop, shutdown, Ctrl-C in a rehearsal: everything ends. restart: only flush and go; engines, tunnels and
 * sockets stay for the next daemon. leave: drain and disable for good, then as stop.
 */
export type Intent = 'stop' | 'restart' | 'leave'
