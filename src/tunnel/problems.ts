// Everything that can be wrong with a tunnel, with what to do about it. README's table is made from this one.
import { problemsOf } from '../core/problem.ts'

export const tunnelProblems = {
  'frpc-missing': {
    title: 'frpc is not installed',
    remedy: 'install frpc 0.64 or newer, or point FRPC_PATH at it',
  },
  'frpc-unusable': {
    title: 'frpc cannot be run',
    remedy: 'run the program of FRPC_PATH with -v by hand; replace it if it does not print a version',
  },
  'frpc-too-old': {
    title: 'frpc is too old',
    remedy: 'install frpc 0.64 or newer (0.52 is the oldest that reads a TOML configuration)',
  },
  'frpc-died': {
    title: 'frpc ended by itself',
    remedy: 'it is started again; if this repeats, read the evidence and the log of this tunnel',
  },
  'frpc-admin-port-busy': {
    title: 'the port of the admin API of frpc was taken by another program',
    remedy: 'nothing to do: frpc is started again on another port',
  },
  'frpc-silent': {
    title: 'the admin API of frpc does not answer',
    remedy: 'frpc is replaced when this lasts; if it repeats, look for a machine without memory or CPU left',
  },
  'frpc-config-refused': {
    title: 'no frpc configuration can be made from these settings',
    remedy: 'correct the setting that the evidence names; a token must not hold "{{"',
  },
  'tunnel-files-unwritable': {
    title: 'the files of the tunnel cannot be written',
    remedy: 'free the disk, or let FRP_CONFIG_DIR name a folder that the service may write (unset: its state folder)',
  },
  'frps-token-refused': {
    title: 'the frp server refuses our token',
    remedy: 'set SECRET_FRP_TOKEN to the token of this frp server; until then it is tried again and again',
  },
  'frps-login-refused': {
    title: 'the frp server refuses our login',
    remedy: 'ask the operator of the frp server with the text of the evidence',
  },
  'frps-unreachable': {
    title: 'the frp server cannot be reached',
    remedy: 'check FRP_SERVERS, name resolution, the security group and whether frps runs; it is tried again for ever',
  },
  'frps-frozen': {
    title: 'the frp server accepts connections but does not answer',
    remedy: 'restart frps or its machine; the tunnel comes back by itself',
  },
  'frps-mismatch': {
    title: 'frpc and the frp server do not understand each other',
    remedy:
      'check that FRP_SERVERS names the bindPort of frps, that its TLS and tcpMux settings are the defaults, and versions',
  },
  'tunnel-port-taken': {
    title: 'another frp client holds our remote port',
    remedy: 'another node uses this CLIENT_ID: give each node its own, or stop the other one',
  },
  'tunnel-port-bound': {
    title: 'another program on the frp server holds our remote port',
    remedy: 'free the port on the frp server, or choose another CLIENT_ID',
  },
  'tunnel-port-not-allowed': {
    title: 'the frp server does not allow our remote port',
    remedy: 'add 10000-29999 to allowPorts of frps, or choose a CLIENT_ID whose ports are allowed',
  },
  'tunnel-name-taken': {
    title: 'a tunnel of our name is connected already',
    remedy:
      'after an unclean reconnect this goes away within two minutes; else another machine has our instance id and CLIENT_ID',
  },
  'tunnel-ports-exceeded': {
    title: 'the frp server gives us no more ports',
    remedy: 'raise maxPortsPerClient of frps to 2 or more',
  },
  'tunnel-refused': {
    title: 'the frp server refuses the tunnel',
    remedy: 'ask the operator of the frp server with the text of the evidence',
  },
  'tunnel-no-answer': {
    title: 'connections through the tunnel are closed without an answer',
    remedy: 'check that our own listeners are up (status of the listeners) and the log of this tunnel',
  },
  'tunnel-listener-down': {
    title: 'frpc cannot reach our own listener',
    remedy: 'see the status of the listeners; NODE_PORT and INFERENCE_PORT must be free on this machine',
  },
  'tunnel-port-closed': {
    title: 'a remote port is closed although frpc says that it runs',
    remedy: 'open the remote ports 10000-29999 in the firewall of the frp server, or restart frps',
  },
  'tunnel-reaches-another-node': {
    title: 'our remote port leads to another node or program',
    remedy:
      'another machine answers there: check CLIENT_ID, load balancing groups and proxies in front of the frp server',
    // frpc leads to whoever has our port.
    dependsOn: 'port-taken',
  },
} as const

export type TunnelProblemCode = keyof typeof tunnelProblems

export const toProblem = problemsOf(tunnelProblems)
