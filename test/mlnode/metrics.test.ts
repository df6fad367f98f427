// What the network may know of this node, and nothing else.
import { request } from 'undici'
import { expect, test } from 'vitest'
import { judgeCpu, parseCpuTimes } from '../../src/mlnode/metrics-cpu.ts'
import { relabelFamilies, renderFamilies, toConfigLabels } from '../../src/mlnode/metrics-text.ts'
import { call, createFleet, serve, startEngine, startMute, startNode } from '../poc/world.ts'

const text = `# HELP vllm:num_requests_running running
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="/root/.cache/models--x/snapshots/1"} 2.0
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 7.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 1.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 1.0
vllm:request_success_total{finished_reason="stop",model_name="m"} 3.0
vllm:cache_config_info{cache_dtype="auto",path="/secret",note="a\\"b"} 1.0
vllm:secret_thing{model_name="m"} 1.0
process_open_fds 12.0
http_requests_total{handler="/v1/chat/completions"} 5.0
`

test('families of the list pass with the served name and the replica, all else stays here', () => {
  const lines = renderFamilies(relabelFamilies(text, { replica: 1, model: 'org/name' }))
    .trim()
    .split('\n')
  const labels = 'model_name="org/name",replica="1"'
  expect(lines).toEqual([
    '# TYPE vllm:num_requests_running gauge',
    `vllm:num_requests_running{${labels}} 2.0`,
    '# TYPE vllm:prompt_tokens_total counter',
    `vllm:prompt_tokens_total{${labels}} 7.0`,
    '# TYPE vllm:time_to_first_token_seconds histogram',
    `vllm:time_to_first_token_seconds_bucket{${labels},le="0.1"} 1.0`,
    `vllm:time_to_first_token_seconds_count{${labels}} 1.0`,
    '# TYPE vllm:request_success_total untyped',
    `vllm:request_success_total{${labels},finished_reason="stop"} 3.0`,
    '# TYPE vllm:cache_config_info untyped',
    `vllm:cache_config_info{${labels},cache_dtype="auto",note="a\\"b"} 1.0`,
  ])
})

test('the configuration is told as far as it was given', () => {
  const planned = { model: 'm', instances: 2, gpusPerEngine: 4, hasPoc: true, owner: 'broker' } as const
  const args = ['--tensor-parallel-size', '2', '--max_model_len=4096', '-tp', '4']
  expect(toConfigLabels(planned, { dtype: 'auto', args })).toEqual({
    model_name: 'm',
    dtype: 'auto',
    replicas: '2',
    max_num_seqs: '',
    max_model_len: '4096',
    tensor_parallel_size: '4',
    pipeline_parallel_size: '',
  })
})

test('CPU ratios are those between two looks', () => {
  const [before, now] = ['cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1', 'cpu  150 0 150 880 0 0 0 20 0 0\n'].map(
    parseCpuTimes,
  )
  expect(judgeCpu(before!, now!)).toEqual({ busy: 0.6, steal: 0.1 })
  expect(judgeCpu(now!, now!)).toBeUndefined()
  expect(parseCpuTimes('intr 1 2 3')).toBeUndefined()
})

test('a hung replica costs a second and ages, the others are told', async () => {
  const fleet = createFleet(2)
  const { url } = await startNode({ fleet, deps: { launched: () => ({ dtype: 'auto', args: [] }) } })
  serve(fleet, (await startEngine(0)).upstream)
  serve(fleet, await startMute(1))
  const scrape = async () => {
    const answer = await request(`${url}/api/v1/metrics`)
    expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4'])
    return answer.body.text()
  }
  await scrape()
  const found = await scrape()
  expect(found).toContain('gonka_metrics_schema_info{version="1"} 1')
  expect(found).toContain('mlnode_version_info{version="1.2.3"} 1')
  expect(found).toContain('mlnode_config_info{model_name="test/model",dtype="auto",replicas="2"')
  expect(found).toMatch(/mlnode_source_scrape_timestamp_seconds\{source="vllm",replica="0"\} \d+/)
  expect(found).not.toContain('replica="1"')
  expect(found).toMatch(/vllm:num_requests_running\{model_name="test\/model",replica="0"\}/)
  expect(found).toContain('mlnode_host_cpu_busy_ratio ')
  expect(found).not.toMatch(/127\.0\.0\.1|engine="/)
})

test('metrics that are switched off are not there', async () => {
  const { url } = await startNode({ fleet: createFleet(1), deps: { metrics: 'off' } })
  expect(await call(`${url}/api/v1/metrics`, undefined, 'GET')).toEqual({ status: 404, body: { detail: 'Not Found' } })
})
