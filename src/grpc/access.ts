// The key before everything else: without it nobody learns which launches there are. Health stays open, as /livez does: the
// probes of orchestrators have no way to send a key.
import type { ServerInterceptor } from '@grpc/grpc-js'
import type { AccessJudge } from '../http/access.ts'
import { callCodes } from './call-error.ts'
import { serviceNames } from './definitions.ts'

type Grpc = Pick<typeof import('@grpc/grpc-js'), 'ServerInterceptingCall'>

export function createAccess({ ServerInterceptingCall }: Grpc, access: AccessJudge): ServerInterceptor {
  return ({ path }, call) => {
    const isOpen = path.startsWith(`/${serviceNames.health}/`)
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, receive) {
            const [authorization] = metadata.get('authorization')
            const address = call.getConnectionInfo().remoteAddress ?? ''
            const verdict = isOpen ? 'ok' : access.judge(authorization?.toString(), address)
            if (verdict === 'ok') return receive(metadata)
            call.sendStatus(verdict === 'unauthorized' ? unauthorized : toLimited(access.waitFor(address)))
          },
        }),
    })
  }
}

const unauthorized = { code: callCodes.UNAUTHENTICATED, details: 'Invalid or missing access key' }

const toLimited = (seconds: number) => ({
  code: callCodes.RESOURCE_EXHAUSTED,
  details: `Too many attempts with a wrong access key, try again in ${seconds} s`,
})
