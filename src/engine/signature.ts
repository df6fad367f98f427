// One known way for vLLM to fail (facts/vllm.md 2.8): how its log looks, what it means, whether trying again can help.

/**
 * transient: try again. never: not without a change of configuration or files. host: the machine, or what others do on it or
 * at the hub, must change (an operator, a co-tenant that leaves), which nobody tells us: tried slowly.
 * soon: it did not come to a process (a full disk), a try costs nothing and is no crash.
 */
export type Retry = 'transient' | 'never' | 'host' | 'soon'

export type Signature = {
  /** Row of facts/vllm.md 2.8. */
  row: number
  code: string
  title: string
  remedy: string
  retry: Retry
  /** Any of them, case-insensitive, on one line without colours and process prefix. */
  patterns: readonly RegExp[]
  /**
   * symptom: another process of the engine says the cause. hint: healthy engines print it too, so it explains a failure only
   * where nothing else does.
   */
  weak?: 'symptom' | 'hint'
  /** The code of another part's problem that it follows from, where that one is there. */
  dependsOn?: string
}
