// Which nonces arrived from which node: the proof that the engines of a node together mine exactly their share, and nobody else's.

/** Of one group of a node's nonces: `missing` counts the gaps below the highest one. */
export type GroupCoverage = { count: number; highest: number; missing: number }

export type NodeCoverage = {
  nodeNum: number
  nodeCount: number
  batches: number
  /** Different nonces. */
  count: number
  /** Nonces that came more than once. */
  duplicates: number
  /** Nonces that are another node's: not nodeNum + i·nodeCount. */
  foreign: number
  /** Group g holds nodeNum + (g + i·groups)·nodeCount. */
  groups: GroupCoverage[]
  nonces?: number[]
}

/** At most so many nonces are remembered per node and round. */
const most = 4_000_000

type Share = { nodeCount: number; batches: number; times: Map<number, number>; artifacts: Artifact[] }
export type Artifact = { nonce: number; vector_b64: string }

export class Coverage {
  /** By block hash, then node number. */
  readonly #rounds = new Map<string, Map<number, Share>>()

  add(blockHash: string, nodeNum: number, nodeCount: number, artifacts: readonly Artifact[]): void {
    const round = this.#rounds.get(blockHash) ?? new Map<number, Share>()
    this.#rounds.set(blockHash, round)
    const share = round.get(nodeNum) ?? { nodeCount, batches: 0, times: new Map<number, number>(), artifacts: [] }
    round.set(nodeNum, share)
    share.batches += 1
    for (const artifact of artifacts) {
      if (share.times.size < most) share.times.set(artifact.nonce, (share.times.get(artifact.nonce) ?? 0) + 1)
      if (share.artifacts.length < 256) share.artifacts.push(artifact)
    }
  }

  /** Some of what a node delivered, for others to validate. */
  sample(blockHash: string, nodeNum: number): readonly Artifact[] {
    return this.#rounds.get(blockHash)?.get(nodeNum)?.artifacts ?? []
  }

  describe(blockHash: string, groups = 1, withNonces = false): NodeCoverage[] {
    return [...(this.#rounds.get(blockHash) ?? [])].map(([nodeNum, share]) => ({
      nodeNum,
      nodeCount: share.nodeCount,
      batches: share.batches,
      count: share.times.size,
      duplicates: [...share.times.values()].filter((times) => times > 1).length,
      foreign: [...share.times.keys()].filter((nonce) => !isOwn(nonce, nodeNum, share.nodeCount)).length,
      groups: describeGroups([...share.times.keys()], { nodeNum, nodeCount: share.nodeCount, groups }),
      ...(withNonces && { nonces: [...share.times.keys()].sort((one, two) => one - two) }),
    }))
  }
}

function isOwn(nonce: number, nodeNum: number, nodeCount: number): boolean {
  return nonce >= nodeNum && (nonce - nodeNum) % nodeCount === 0
}

function describeGroups(
  nonces: readonly number[],
  { nodeNum, nodeCount, groups }: { nodeNum: number; nodeCount: number; groups: number },
): GroupCoverage[] {
  const found = Array.from({ length: groups }, () => ({ count: 0, highest: -1, last: -1 }))
  for (const nonce of nonces) {
    if (!isOwn(nonce, nodeNum, nodeCount)) continue
    const step = (nonce - nodeNum) / nodeCount
    const group = found[step % groups]
    if (!group) continue
    group.count += 1
    group.last = Math.max(group.last, Math.floor(step / groups))
    group.highest = Math.max(group.highest, nonce)
  }
  return found.map(({ count, highest, last }) => ({ count, highest, missing: last + 1 - count }))
}
