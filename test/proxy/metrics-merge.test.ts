import { expect, test } from 'vitest'
import { mergeMetrics } from '../../src/proxy/metrics-merge.ts'
import { sendText, startEngine, startFront } from './support.ts'

const text = (value: number) => `# HELP vllm:steps Steps, "all" of them.
# TYPE vllm:steps histogram
vllm:steps_bucket{engine="0",model_name="a,b\\"}",le="+Inf"} ${value}
vllm:steps_count{engine="0"} ${value} 1700000000000
# TYPE up gauge
up ${value}
`

test('two engines become one text: one HELP and TYPE per family, every sample told apart by engine', () => {
  const merged = mergeMetrics([
    { engine: '0', text: text(1) },
    { engine: '1', text: text(2) },
  ])
  expect(merged).toBe(`# HELP vllm:steps Steps, "all" of them.
# TYPE vllm:steps histogram
vllm:steps_bucket{engine="0",model_name="a,b\\"}",le="+Inf"} 1
vllm:steps_count{engine="0"} 1 1700000000000
vllm:steps_bucket{engine="1",model_name="a,b\\"}",le="+Inf"} 2
vllm:steps_count{engine="1"} 2 1700000000000
# TYPE up gauge
up{engine="0"} 1
up{engine="1"} 2
`)
})

test('garbage, comments and an empty text leave nothing behind', () => {
  expect(mergeMetrics([{ engine: '0', text: '<html>\n# EOF\n\n{}\n' }])).toBe('')
  expect(mergeMetrics([])).toBe('')
})

test('an engine that does not answer is left out of /metrics, and nobody waits for it longer than 5 s', async () => {
  const good = await startEngine((_request, response) => sendText(response, 'up 1\n'), 1)
  const hung = await startEngine(() => {}, 0)
  const { url } = await startFront(good.upstream, hung.upstream)
  const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(20_000) })
  expect([answer.status, await answer.text()]).toEqual([200, 'up{engine="1"} 1\n'])
})
