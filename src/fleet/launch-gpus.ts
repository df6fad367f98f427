// Which GPUs a launch may have and gets: discovery and texts as contracts/control-plane.md A1.1 and A1.5, first come first
// served. Pure.
import { Refusal } from '../core/errors.ts'
import type { Inventory } from '../gpu/inventory.ts'

const refuse = (message: string) => new Refusal('gpus-not-available', 400, message)

/** @param visible CUDA_VISIBLE_DEVICES, which wins over what nvidia-smi tells @throws Refusal 400 */
export function discoverGpus(visible: string | undefined, inventory: Inventory): number[] {
  if (visible !== undefined && visible !== '' && visible.toLowerCase() !== 'all') return parseVisible(visible)
  switch (inventory.kind) {
    case 'known':
      return inventory.gpus.map((gpu) => gpu.index).toSorted((a, b) => a - b)
    case 'none':
      if (/found no devices/.test(inventory.why)) return []
      throw refuse('Could not discover GPUs from connected host hardware because nvidia-smi is unavailable.')
    case 'failed':
      throw refuse(`Failed to discover GPUs from nvidia-smi: ${inventory.problem.evidence}`)
    case 'unknown':
      throw refuse('Failed to discover GPUs from nvidia-smi: it has not answered yet')
  }
}

function parseVisible(raw: string): number[] {
  const words = raw.split(',').flatMap((word) => word.trim() || [])
  const ids = words.map((word) => {
    if (!/^[+-]?\d+$/.test(word))
      throw refuse(`CUDA_VISIBLE_DEVICES must contain comma-separated integer GPU ids, got '${raw}'`)
    if (Number(word) < 0) throw refuse(`CUDA_VISIBLE_DEVICES GPU ids must be >= 0, got ${Number(word)}`)
    return Number(word)
  })
  if (ids.length === 0) throw refuse('CUDA_VISIBLE_DEVICES did not contain any GPU ids')
  return [...new Set(ids)].toSorted((a, b) => a - b)
}

/** Named ones, or a number of them that the fleet picks. */
export type GpuAsk = { gpus: readonly number[]; minFreeMiB: number } | { count: number; minFreeMiB: number }

/** What of a request is about GPUs. */
export type GpuWish = {
  gpu_ids: readonly number[] | null
  gpu_count?: number | undefined
  min_free_mib?: number | undefined
}

/**
 * @param totalMiB of a GPU; undefined where it is not known, which is no reason against it
 * @throws Refusal 400 for what this machine can never give, and nobody should wait for
 */
export function toGpuAsk(
  request: GpuWish,
  visible: readonly number[],
  totalMiB: (gpu: number) => number | undefined = () => undefined,
): GpuAsk {
  const ask = toAsk(request, visible)
  const among = 'gpus' in ask ? ask.gpus : visible
  const small = among.flatMap((gpu) => {
    const total = totalMiB(gpu)
    return total !== undefined && total < ask.minFreeMiB ? [{ gpu, total }] : []
  })
  if (small.length > 0 && ('gpus' in ask || among.length - small.length < ask.count)) {
    const totals = small.map(({ gpu, total }) => `GPU ${gpu}: ${total} MiB`).join(', ')
    const other = 'gpus' in ask ? ', or for other GPUs' : small.length < among.length ? ', or for fewer GPUs' : ''
    throw refuse(
      `Requested GPUs are not available: min_free_mib ${ask.minFreeMiB} is more than they have in total (${totals}); ask for less memory${other}`,
    )
  }
  return ask
}

function toAsk(request: GpuWish, visible: readonly number[]): GpuAsk {
  const { gpu_ids, gpu_count, min_free_mib: minFreeMiB = 0 } = request
  if (gpu_count !== undefined && gpu_ids !== null) throw refuse('gpu_ids and gpu_count exclude each other')
  if (visible.length === 0) throw refuse('No GPUs available for launch')
  if (gpu_count !== undefined) {
    if (gpu_count < 1) throw refuse('gpu_count must be at least 1')
    if (gpu_count > visible.length) throw refuse(`Requested GPUs are not available: ${gpu_count} of ${visible.length}`)
    return { count: gpu_count, minFreeMiB }
  }
  if (gpu_ids === null) return { gpus: visible, minFreeMiB }
  if (gpu_ids.length === 0) throw refuse('gpu_ids cannot be empty')
  const gpus = [...new Set(gpu_ids)].toSorted((a, b) => a - b)
  const missing = gpus.filter((gpu) => !visible.includes(gpu))
  if (missing.length > 0) throw refuse(`Requested GPUs are not available: [${missing.join(', ')}]`)
  return { gpus, minFreeMiB }
}

export type GpuTable = {
  visible: readonly number[]
  /** Who has it, as the 409 names them; undefined: nobody. */
  holder: (gpu: number) => string | undefined
  /** MiB; undefined where it is not known, which is no reason against it. */
  freeMiB: (gpu: number) => number | undefined
}

export type Share =
  | { kind: 'given'; gpus: readonly number[] }
  | { kind: 'held'; by: readonly { gpu: number; who: string }[] }

/**
 * What each gets, in their order. What an earlier one waits for goes to no later one, so that nobody starves: its GPUs by name,
 * and for a number of them, those that are free already.
 */
export function shareGpus(asks: readonly { id: string; ask: GpuAsk }[], table: GpuTable): ReadonlyMap<string, Share> {
  const promised = new Map<number, string>()
  const shares = new Map<string, Share>()
  for (const { id, ask } of asks) {
    const who = (gpu: number) => table.holder(gpu) ?? promised.get(gpu) ?? judgeRoom(gpu, ask.minFreeMiB, table)
    const among = 'gpus' in ask ? ask.gpus : table.visible
    const by: { gpu: number; who: string }[] = []
    const free: number[] = []
    for (const gpu of among) {
      const holder = who(gpu)
      if (holder === undefined) free.push(gpu)
      else by.push({ gpu, who: holder })
    }
    const enough = 'gpus' in ask ? by.length === 0 : free.length >= ask.count
    const given = 'gpus' in ask ? ask.gpus : free.slice(0, ask.count)
    for (const gpu of enough || 'gpus' in ask ? given : free) if (!promised.has(gpu)) promised.set(gpu, id)
    shares.set(id, enough ? { kind: 'given', gpus: given } : { kind: 'held', by })
  }
  return shares
}

function judgeRoom(gpu: number, minFreeMiB: number, { freeMiB }: GpuTable): string | undefined {
  const free = freeMiB(gpu)
  return minFreeMiB > 0 && free !== undefined && free < minFreeMiB ? `only ${free} MiB free` : undefined
}

type Held = readonly { gpu: number; who: string }[]

/** `gpu 0, 1 -> <launch id>, gpu 3 -> pid 4711 (…)`: for a person, who has eight of them. */
export function describeHeld(by: Held, node: string): string {
  const gpus = Map.groupBy(by, (one) => one.who)
  return [...gpus]
    .map(
      ([who, its]) =>
        `gpu ${its.map((one) => one.gpu).join(', ')} -> ${who}${who === node ? " (the node's own model)" : ''}`,
    )
    .join(', ')
}

export function refuseHeld(by: Held): Refusal {
  const text = by.map(({ gpu, who }) => `gpu ${gpu} -> ${who}`).join(', ')
  return new Refusal('gpus-in-use', 409, `Requested GPUs are in use (${text})`, {
    remedy: 'stop what holds them, ask for others (--gpus, --gpu-count), or wait for them (--queue)',
  })
}
