// The configuration of frpc as frp 0.61 to 0.77 reads it: same keys, camelCase, unknown ones refused as frp's strict mode does.
// tcp and udp proxies; defaults are frp's own and are left out, so that what is rendered is what was said.
import { z } from 'zod'

const port = z.int().min(1).max(65_535)
const portOrZero = z.int().min(0).max(65_535)
/** frp joins names into `user.name` and logs them in brackets; anything else makes its messages ambiguous. */
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'must be letters, digits, dot, underscore or dash')
const filled = z.string().min(1)
const seconds = z.int().min(1)
/** -1 switches a heartbeat off. */
const secondsOrOff = z.int().min(-1)
const texts = z.record(z.string(), z.string())

const tokenSource = z.strictObject({ type: z.literal('file'), file: z.strictObject({ path: filled }) })

const oidc = z.strictObject({
  clientID: filled,
  clientSecret: filled.optional(),
  audience: z.string().optional(),
  scope: z.string().optional(),
  tokenEndpointURL: z.url(),
  additionalEndpointParams: texts.optional(),
})

const auth = z.strictObject({
  method: z.enum(['token', 'oidc']).optional(),
  token: filled.optional(),
  tokenSource: tokenSource.optional(),
  additionalScopes: z.array(z.enum(['HeartBeats', 'NewWorkConns'])).optional(),
  oidc: oidc.optional(),
})

const tls = z.strictObject({
  enable: z.boolean().optional(),
  disableCustomTLSFirstByte: z.boolean().optional(),
  certFile: filled.optional(),
  keyFile: filled.optional(),
  /** Without it the server's certificate is not verified. */
  trustedCaFile: filled.optional(),
  serverName: filled.optional(),
})

const transport = z.strictObject({
  protocol: z.enum(['tcp', 'kcp', 'quic', 'websocket', 'wss']).optional(),
  /** v2 needs frps and frpc from 0.69. */
  wireProtocol: z.enum(['v1', 'v2']).optional(),
  dialServerTimeout: seconds.optional(),
  dialServerKeepalive: z.int().optional(),
  connectServerLocalIP: filled.optional(),
  /** Absent, frpc takes `http_proxy` from its environment. */
  proxyURL: z.string().optional(),
  poolCount: z.int().min(0).optional(),
  tcpMux: z.boolean().optional(),
  tcpMuxKeepaliveInterval: seconds.optional(),
  heartbeatInterval: secondsOrOff.optional(),
  heartbeatTimeout: secondsOrOff.optional(),
  tls: tls.optional(),
})

const webServer = z.strictObject({
  addr: filled.optional(),
  port,
  user: z.string().optional(),
  password: z.string().optional(),
  pprofEnable: z.boolean().optional(),
})

const log = z.strictObject({
  to: filled.optional(),
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).optional(),
  maxDays: z.int().min(0).optional(),
  disablePrintColor: z.boolean().optional(),
})

const proxyTransport = z.strictObject({
  useEncryption: z.boolean().optional(),
  useCompression: z.boolean().optional(),
  bandwidthLimit: z
    .string()
    .regex(/^\d+(\.\d+)?(MB|KB)$/, 'must be like 1MB or 500KB')
    .optional(),
  bandwidthLimitMode: z.enum(['client', 'server']).optional(),
  proxyProtocolVersion: z.enum(['', 'v1', 'v2']).optional(),
})

const healthCheck = z.strictObject({
  type: z.enum(['tcp', 'http']),
  path: z.string().startsWith('/').optional(),
  intervalSeconds: seconds.optional(),
  timeoutSeconds: seconds.optional(),
  maxFailed: z.int().min(1).optional(),
  httpHeaders: z.array(z.strictObject({ name: filled, value: z.string() })).optional(),
})

const proxy = z.strictObject({
  name,
  type: z.enum(['tcp', 'udp']),
  /** From 0.66; absent is enabled. */
  enabled: z.boolean().optional(),
  localIP: filled.optional(),
  localPort: port,
  /** 0: the server picks one. */
  remotePort: portOrZero,
  transport: proxyTransport.optional(),
  loadBalancer: z.strictObject({ group: filled, groupKey: z.string().optional() }).optional(),
  healthCheck: healthCheck.optional(),
  metadatas: texts.optional(),
  annotations: texts.optional(),
})

export const frpcSchema = z.strictObject({
  serverAddr: filled,
  serverPort: port,
  user: name.optional(),
  /** From 0.67. A second live client with the same user and clientID is refused. */
  clientID: name.optional(),
  auth: auth.optional(),
  /** frp's default is true: the process ends when the first login fails. */
  loginFailExit: z.boolean().optional(),
  dnsServer: filled.optional(),
  natHoleStunServer: filled.optional(),
  udpPacketSize: z.int().min(1).optional(),
  start: z.array(name).optional(),
  includes: z.array(filled).optional(),
  metadatas: texts.optional(),
  featureGates: z.record(z.string(), z.boolean()).optional(),
  store: z.strictObject({ path: filled }).optional(),
  transport: transport.optional(),
  webServer: webServer.optional(),
  log: log.optional(),
  proxies: z.array(proxy).optional(),
})

export type FrpcConfig = z.infer<typeof frpcSchema>
export type FrpcProxy = z.infer<typeof proxy>
