// What PoC needs to know beyond the engines: the callback relay over mTLS and the signing key (contracts/node-api.md 1.11).
import { z } from 'zod'
import { folder, pattern, secret } from './fields.ts'

export const pocSlice = z.object({
  selfUrl: pattern(
    {
      env: 'MLNODE_SELF_URL',
      doc: 'Where engines reach the callback relay of this node; the node listener where not set',
    },
    /^https?:\/\/[^\s/]\S*$/,
    'is not an http address; write for example http://127.0.0.1:8080',
  ),
  mtlsClientCert: folder({
    env: 'MLNODE_MTLS_CLIENT_CERT',
    doc: 'Certificate (PEM file) shown to an https callback; with it callbacks go through the relay',
  }),
  mtlsClientKey: folder({ env: 'MLNODE_MTLS_CLIENT_KEY', doc: 'Key (PEM file) of that certificate' }),
  mtlsServerCa: folder({ env: 'MLNODE_MTLS_SERVER_CA', doc: 'Authority (PEM file) that signed the callback server' }),
  signatureKey: secret({
    env: 'POC_SIGNATURE_KEY',
    doc: 'HMAC key of the PoC callbacks, for engines whose overlay signs them',
    passOn: true,
  }),
  powSignatureKey: secret({
    env: 'POW_SIGNATURE_KEY',
    doc: 'HMAC key of PoW v1, which this node refuses: checked, and not used',
  }),
})

export type PocConfig = z.output<typeof pocSlice>
