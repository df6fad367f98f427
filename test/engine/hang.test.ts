import { expect, test } from 'vitest'
import type { ProfileName } from '../../src/config/engine.ts'
import { type HangSample, type HangVerdict, judgeHang, newHangState, parseCounters } from '../../src/engine/hang.ts'

const working = { iterations: 100, tokens: 1000, running: 2, waiting: 0 }
const idle = { iterations: 100, tokens: 1000, running: 0, waiting: 0 }

/** One look every 10 s from 10 s on; a look says what differs from a working engine that is frozen. */
function judgeAll(looks: Partial<HangSample>[], rules: { grace?: number; profile?: ProfileName } = {}): HangVerdict[] {
  let state = newHangState(0)
  return looks.map((look, at) => {
    const sample = { at: (at + 1) * 10_000, refused: false, metrics: working, inFlight: 0, progressAt: 0, ...look }
    const judged = judgeHang(state, sample, { grace: 120_000, profile: 'v1-overlay', ...rules })
    state = judged.state
    return judged.verdict
  })
}

const looks = (count: number, look: (at: number) => Partial<HangSample>) =>
  Array.from({ length: count }, (_, at) => look(at))
const kinds = (verdicts: HangVerdict[]) => new Set(verdicts.map(({ kind }) => kind))
const last = (verdicts: HangVerdict[]) => verdicts.at(-1)?.kind

test('frozen with work over the grace, three times: hung, and not one look before', () => {
  const verdicts = judgeAll(looks(16, () => ({})))
  expect(verdicts.findIndex(({ kind }) => kind === 'hung')).toBe(14)
  expect(verdicts[14]).toMatchObject({
    evidence: expect.stringContaining('100 iterations') as string,
    gaugesIdle: false,
  })
})

const cases: [title: string, expected: string, looks: Partial<HangSample>[], rules?: object][] = [
  ['progressing', 'alive', looks(40, (at) => ({ metrics: { ...working, iterations: at } }))],
  ['tokens alone progressing', 'alive', looks(40, (at) => ({ metrics: { tokens: at, running: 1, waiting: 0 } }))],
  ['idle', 'alive', looks(40, () => ({ metrics: idle }))],
  ['waiting alone for ever', 'hung', looks(20, () => ({ metrics: { ...idle, waiting: 3 } }))],
  ['a counter that was reset', 'alive', looks(40, (at) => ({ metrics: { ...working, iterations: at % 2 } }))],
  ['blind after a good look', 'hung', looks(20, (at) => ({ metrics: at === 0 ? working : {} }))],
  ['blind from the start', 'unknown', looks(40, () => ({ metrics: {} }))],
  [
    'half blind: one gauge missing is not idle',
    'hung',
    looks(20, (at) => ({ metrics: at === 0 ? idle : { iterations: 100, running: 0 } })),
  ],
  ['refused', 'refused', [{ refused: true }]],
  ['saturated: no answer within the grace', 'frozen', looks(11, (at) => ({ metrics: at === 0 ? working : {} }))],
  ['switched off', 'unknown', looks(40, () => ({ refused: true })), { grace: 0 }],
  ['wedged before the gauges (hole a)', 'hung', looks(20, () => ({ metrics: idle, inFlight: 1 }))],
  [
    'bytes flow though the counters stand',
    'alive',
    looks(40, (at) => ({ inFlight: 1, progressAt: (at + 1) * 10_000 - 1 })),
  ],
  [
    'PoC that grows, counters frozen (hole c)',
    'alive',
    looks(40, (at) => ({ poc: { generating: true, processed: at } })),
  ],
  ['PoC that stands', 'hung', looks(20, () => ({ metrics: idle, poc: { generating: true, processed: 7 } }))],
  [
    'chat that goes on while PoC waits for it',
    'alive',
    looks(40, (at) => ({ metrics: { ...working, tokens: at }, poc: { generating: true, processed: 7 } })),
  ],
  [
    'V0 whose iterations tick through a hang (hole f)',
    'hung',
    looks(20, (at) => ({ metrics: { ...working, iterations: at } })),
    { profile: 'v0-overlay' },
  ],
  [
    'V0 that has not answered yet shows gauges alone',
    'alive',
    looks(40, () => ({ metrics: { running: 0, waiting: 0 } })),
    { profile: 'v0-overlay' },
  ],
]
for (const [title, expected, given, rules] of cases) {
  test(`${title}: ${expected}`, () => {
    expect(last(judgeAll(given, rules))).toBe(expected)
  })
}

test('one look with progress forgets all strikes', () => {
  const verdicts = judgeAll(looks(26, (at) => (at === 13 ? { metrics: { ...working, iterations: 101 } } : {})))
  expect(kinds(verdicts)).not.toContain('hung')
})

test('the gauges of an idle engine ask for a proof before the kill', () => {
  expect(judgeAll(looks(20, () => ({ metrics: idle, inFlight: 1 }))).at(-1)).toMatchObject({
    kind: 'hung',
    gaugesIdle: true,
  })
})

test('counters are summed and gauges maximal over the series; what is no number is not known', () => {
  const text = `# HELP vllm:num_requests_running x
vllm:num_requests_running{engine="0",model_name="a b"} 2.0
vllm:num_requests_running{engine="1",model_name="a b"} 5.0
vllm:num_requests_waiting{engine="0"} 0.0
vllm:num_requests_waiting_by_reason{reason="capacity"} 9.0
vllm:iteration_tokens_total_count{engine="0"} 1.5e+03
vllm:iteration_tokens_total_count{engine="1"} 500.0
vllm:iteration_tokens_total_created{engine="0"} 1.7e9
vllm:generation_tokens_total{engine="0"} 10.0
vllm:prompt_tokens_total{engine="0"} 5.0
`
  expect(parseCounters(text)).toEqual({ iterations: 2000, tokens: 15, running: 5, waiting: 0 })
  expect(parseCounters('vllm:num_requests_running{} NaN\n<html>')).toEqual({})
})
