import { expect, test } from 'vitest'
import { toShared } from '../../src/core/clock.ts'

test('waits of a second and more end at moments that they share', () => {
  const ends = [1000, 1130, 1720, 1999].map((now) => now + toShared(now, 5000))
  expect(ends).toEqual([6000, 6000, 7000, 7000])
  expect(400 + toShared(400, 1000)).toBe(1500)
})

test('what recurs keeps its pace, although each turn takes a moment', () => {
  let now = 12_345
  const ends: number[] = []
  for (let turn = 0; turn < 4; turn += 1) {
    now += toShared(now, 3000)
    ends.push(now)
    now += 40
  }
  expect(ends).toEqual([16_000, 19_000, 22_000, 25_000])
})

test('a short wait is as long as it was asked for', () => {
  expect(toShared(123.4, 50)).toBe(50)
  expect(toShared(123.4, 700)).toBe(700)
})

test('no wait ends more than a twentieth early or a third late', () => {
  for (let ms = 750; ms < 20_000; ms += 333)
    for (let now = 0; now < 1000; now += 37) {
      const shared = toShared(now, ms)
      expect(shared).toBeGreaterThanOrEqual(ms * 0.95)
      expect(shared).toBeLessThanOrEqual(Math.min(ms + ms / 3, ms + 1000) + 1)
    }
})
