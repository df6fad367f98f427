// The key before everything else: without it nobody learns which launches there are. Health stays open, as /livez does: the
// probes of orchestrators have no way to send a key.
import type { ServerInterceptor } from '@grpc/grpc-js'
import type { AccessJudge } from '../http/access.ts'
import { callCodes } from './call-error.ts'
import { innermostOf } from './call-scope.ts'
import { serviceNames } from './definitions.ts'
import { at } from './engine-answer.ts'

type Grpc = Pick<typeof import('@grpc/grpc-js'), 'ServerInterceptingCall'>

export function createAccess({ ServerInterceptingCall }: Grpc, access: AccessJudge): ServerInterceptor {
  return ({ path }, call) => {
    const isOpen = path.startsWith(`/${serviceNames.health}/`)
    return new ServerInterceptingCall(call, {
      start: (next) => {
        if (isOpen) limitMessages(call, longestOpen)
        next({
          onReceiveMetadata(metadata, receive) {
            const [authorization] = metadata.get('authorization')
            const address = call.getConnectionInfo().remoteAddress ?? ''
            const verdict = isOpen ? 'ok' : access.judge(authorization?.toString(), address)
            if (verdict === 'ok') return receive(metadata)
            call.sendStatus(verdict === 'unauthorized' ? unauthorized : toLimited(access.waitFor(address)))
          },
        })
      },
    })
  }
}

/** Of calls without a key: they hold the name of a service. */
const longestOpen = 4096

/**
 * What comes is held before a method sees it, and grpc-js has one limit for all of them: it keeps those of a call to itself. Where a new
 * version has others, the limit of all holds.
 */
function limitMessages(call: unknown, bytes: number): void {
  const inner = innermostOf(call)
  limit(inner, 'maxReceiveMessageSize', bytes)
  limit(at(inner, 'decoder'), 'maxReadMessageLength', bytes)
}

function limit(holder: unknown, name: string, bytes: number): void {
  if (typeof at(holder, name) === 'number') Object.assign(holder as object, { [name]: bytes })
}

const unauthorized = { code: callCodes.UNAUTHENTICATED, details: 'Invalid or missing access key' }

const toLimited = (seconds: number) => ({
  code: callCodes.RESOURCE_EXHAUSTED,
  details: `Too many attempts with a wrong access key, try again in ${seconds} s`,
})
