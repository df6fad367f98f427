// The wall clock of this machine in nanoseconds, so that the API node can measure the difference to its own.
import type { FastifyInstance } from 'fastify'
import type { MlnodeDeps } from './deps.ts'

export function addClock(app: FastifyInstance, { clock }: Pick<MlnodeDeps, 'clock'>): void {
  const received = new WeakMap<object, string>()
  app.get(
    '/api/v1/clock',
    { onRequest: async (request) => void received.set(request, renderNanoseconds(clock.wall())) },
    (request, reply) =>
      reply
        .code(204)
        .header('X-Server-Recv-Ns', received.get(request) ?? renderNanoseconds(clock.wall()))
        .header('X-Server-Send-Ns', renderNanoseconds(clock.wall()))
        .send(),
  )
}

/** The wall clock counts whole ms; the fraction comes from the monotonic one while both agree, so not after a step. */
export function renderNanoseconds(wall: number, fine = performance.timeOrigin + performance.now()): string {
  const best = Math.abs(fine - wall) < 1.5 ? fine : wall
  const whole = Math.floor(best)
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.floor((best - whole) * 1e6)))
}
