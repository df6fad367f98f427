// FRP tunnels: which servers, with which token, by which program (facts/frp.md).
import { z } from 'zod'
import { folder, hostPorts, secret, textOr } from './fields.ts'

export const tunnelsSlice = z.object({
  servers: hostPorts({
    env: 'FRP_SERVERS',
    aliases: ['FRP_SERVER'],
    doc: 'frp servers, comma separated host:port; as many as API_NODES: they pair by position',
  }),
  token: secret({ env: 'SECRET_FRP_TOKEN', doc: 'Token of the frp servers' }),
  configDir: folder({
    env: 'FRP_CONFIG_DIR',
    doc: 'Folder of the frpc configurations; `frp` in the state folder where not set',
  }),
  frpcPath: textOr({ env: 'FRPC_PATH', doc: 'The frpc program' }, 'frpc'),
})

export type TunnelsConfig = z.output<typeof tunnelsSlice>
