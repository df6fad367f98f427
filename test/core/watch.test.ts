import { signal } from '@preact/signals-core'
import { expect, test } from 'vitest'
import { changesOf } from '../../src/core/changes.ts'
import { until, watch } from '../../src/core/watch.ts'

test('a watcher that throws does not throw into the writer, and goes on watching', () => {
  const state = signal(0)
  const bugs: unknown[] = []
  const seen: number[] = []
  const abort = new AbortController()
  const see = (value: number) => {
    seen.push(value)
    if (value === 1) throw new Error('bug')
  }
  watch(state, see, abort.signal, (bug) => bugs.push(bug))
  state.value = 1
  state.value = 2
  abort.abort()
  state.value = 3
  expect({ seen, bugs: bugs.length }).toEqual({ seen: [0, 1, 2], bugs: 1 })
})

test('until resolves with a value that already holds, with a later one, and rejects when it is aborted first', async () => {
  const state = signal(1)
  const never = new AbortController()
  expect(await until(state, (value) => value === 1, never.signal)).toBe(1)
  const later = until(state, (value) => value > 1, never.signal)
  state.value = 2
  expect(await later).toBe(2)
  const aborted = until(state, (value) => value > 5, AbortSignal.abort(new Error('too late')))
  await expect(aborted).rejects.toThrow('too late')
})

test('a slow reader of changes sees the newest state, never a queue of old ones', async () => {
  const state = signal(0)
  const abort = new AbortController()
  const changes = changesOf(state, abort.signal)
  expect((await changes.next()).value).toBe(0)
  for (let at = 1; at <= 1000; at += 1) state.value = at
  expect((await changes.next()).value).toBe(1000)
  const pending = changes.next()
  abort.abort()
  expect((await pending).done).toBe(true)
})
