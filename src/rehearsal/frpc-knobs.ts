// The knobs of the rehearsal frpc, all environment variables.

export type FrpcKnobs = {
  /** Every wait of frp is multiplied by this (REHEARSAL_FRPC_SCALE). */
  scale: number
  /** What `-v` prints (REHEARSAL_FRPC_VERSION). */
  version: string
  /** SIGTERM does nothing (REHEARSAL_FRPC_DEAF=1). */
  deaf: boolean
  /** `/api/status` is `{}` for so long after the start, whatever is true (REHEARSAL_FRPC_EMPTY_STATUS_MS). */
  emptyStatusMs: number
}

export function readFrpcKnobs(env: NodeJS.ProcessEnv): FrpcKnobs {
  return {
    scale: Number(env['REHEARSAL_FRPC_SCALE'] ?? 1),
    version: env['REHEARSAL_FRPC_VERSION'] ?? '0.70.0',
    deaf: env['REHEARSAL_FRPC_DEAF'] === '1',
    emptyStatusMs: Number(env['REHEARSAL_FRPC_EMPTY_STATUS_MS'] ?? 0),
  }
}
