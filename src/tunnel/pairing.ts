// Which FRP servers serve which API node: by position where there are as many of both, otherwise any serves any.
import type { TunnelView } from './tunnels.ts'

/** Per API node (by position) the positions of its servers; empty lists without servers. */
export function pairServers(apiNodes: number, servers: number): number[][] {
  const all = Array.from({ length: servers }, (_, at) => at)
  return Array.from({ length: apiNodes }, (_, at) => (apiNodes === servers ? [at] : all))
}

/** An API node waits for its own tunnels only: up when every one of them is. */
export function judgePaired(views: readonly TunnelView[], own: readonly number[]): 'up' | 'waiting' {
  const isUp = (at: number) => views[at]?.phase === 'proved' || views[at]?.phase === 'unproved'
  return own.every(isUp) ? 'up' : 'waiting'
}
