// What the tests of orders share: a fleet whose engines serve, and how orders are written.
import type { Fleet } from '../../src/fleet/fleet.ts'
import type { UpOrder } from '../../src/fleet/orders.ts'
import type { FleetDeps } from '../../src/fleet/start-fleet.ts'
import { eventually } from '../support/eventually.ts'
import { fleetBed } from './bed.ts'

export const order = (model: string, ...additionalArgs: string[]): UpOrder => ({ model, dtype: 'auto', additionalArgs })
export const same = order('Test/A')
export const states = (fleet: Fleet) => fleet.upstreams.value.map((one) => one.state.value)
export const allAre = (fleet: Fleet, state: string) =>
  eventually(`all engines are ${state}`, () => {
    const found = states(fleet)
    return found.length > 0 && found.every((one) => one === state)
  })
export async function serving(engine: Record<string, string> = {}, more: Partial<FleetDeps> = {}) {
  const bed = await fleetBed(engine)
  const fleet = bed.start(more)
  await bed.alive(2)
  bed.world.ready()
  await allAre(fleet, 'serving')
  await eventually('said', () => fleet.orders.upStatus.value.status === 'completed')
  return { ...bed, fleet }
}
