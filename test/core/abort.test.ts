import { getEventListeners } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { bounded, isAbort, whenAborted } from '../../src/core/abort.ts'

test('a bound aborts with its time, and with the signal that it was given', async () => {
  using late = bounded(5)
  await whenAborted(late.signal)
  expect(isAbort(late.signal.reason)).toBe(true)
  const asked = new AbortController()
  using early = bounded(60_000, asked.signal)
  asked.abort(new Error('enough'))
  expect(early.signal.reason).toMatchObject({ message: 'enough' })
})

test('a bound that is over leaves no timer and no listener behind', async () => {
  const outer = new AbortController()
  const bound = bounded(5, outer.signal)
  bound[Symbol.dispose]()
  await wait(30)
  expect(bound.signal.aborted).toBe(false)
  expect(getEventListeners(outer.signal, 'abort')).toEqual([])
})
