// Random days: orders, crashes, restarts of the daemon and time, in any order.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Refusal } from '../../src/core/errors.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed } from './bed.ts'

type Event =
  | { kind: 'up'; model: 'Test/A' | 'Test/B'; args: readonly string[] }
  | { kind: 'stop' | 'ready' | 'crash' | 'restart' | 'ended' }
  | { kind: 'time'; ms: number }

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('up' as const),
      model: fc.constantFrom('Test/A' as const, 'Test/B' as const),
      args: fc.constantFrom([], ['-tp', '1'], ['--tensor_parallel_size=1', '--dtype=bfloat16']),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'stop' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'ready' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'ended' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(100, 20_000, 61_000) }) },
)

type Bed = Awaited<ReturnType<typeof fleetBed>>
type Run = { bed: Bed; fleet: Fleet; wanted: string | undefined }

async function happen(one: Event, run: Run): Promise<void> {
  const { world, clock, start, end } = run.bed
  switch (one.kind) {
    case 'up': {
      const order = { model: one.model, dtype: 'auto', additionalArgs: one.args }
      const taken = await run.fleet.orders.upAsync(order).then(
        () => true,
        (error: unknown) => {
          if (error instanceof Refusal && error.status === 409) return false
          throw error
        },
      )
      if (taken) run.wanted = one.model
      // A conflict gives back what its stop took; what that was shows in the service.
      else if (run.wanted === undefined && run.fleet.orders.service.value === 'INFERENCE') run.wanted = 'either'
      return
    }
    case 'stop':
      run.fleet.orders.stop()
      run.wanted = undefined
      return
    case 'restart':
      await end(run.fleet, 'restart')
      run.fleet = start()
      return
    case 'crash': {
      const [engine] = world.alive()
      if (engine) world.crash(engine)
      return
    }
    case 'ready':
      return world.ready()
    case 'ended':
      return world.finishEnding()
    case 'time':
      return clock.advance(one.ms)
  }
}

function check({ bed, fleet, wanted }: Run): void {
  expect(bed.world.wrongs).toEqual([])
  expect(wanted !== undefined || fleet.orders.service.value === 'STOPPED').toBe(true)
}

/** However it went, the world comes to what was ordered last. */
async function settle(run: Run): Promise<void> {
  const { world, clock } = run.bed
  if (run.wanted === undefined) {
    clock.advance(61_000)
    return void (await eventually('stopped engines are ended', () => {
      world.finishEnding()
      // A daemon that has just started gives the broker some time more.
      clock.advance(1000)
      return world.alive().length === 0
    }))
  }
  await eventually(`both engines of ${run.wanted} serve`, () => {
    world.finishEnding()
    world.ready()
    clock.advance(1000)
    check(run)
    const found = run.fleet.upstreams.value
    const fits = (model: string) => run.wanted === 'either' || model === run.wanted
    return found.length === 2 && found.every((one) => fits(one.model) && one.state.value === 'serving')
  })
}

test('whatever happens, no GPU is given twice, nothing is loaded twice, and the last order is what comes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 14 }), fc.boolean(), async (events, slowEnds) => {
      const bed = await fleetBed()
      bed.world.endsAtOnce = !slowEnds
      const run: Run = { bed, fleet: bed.start(), wanted: 'Test/A' }
      for (const one of events) {
        await happen(one, run)
        check(run)
        // Some of what follows from it happens before the next event, some does not.
        await new Promise((resolve) => setImmediate(resolve))
      }
      await settle(run)
      await bed.end(run.fleet, 'restart')
    }),
    { numRuns: 40 },
  )
}, 120_000)
