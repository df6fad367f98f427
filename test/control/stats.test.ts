import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseGpuStats } from '../../src/control/gpu-stats.ts'
import { renderStats } from '../../src/control/stats-json.ts'
import { createStats, parseMeminfo } from '../../src/control/stats.ts'
import { tempDir } from '../support/temp-dir.ts'

/** A shell program in the place of nvidia-smi, which notes each of its runs. */
async function program(body: string) {
  const folder = await tempDir()
  const [path, runs] = [join(folder, 'nvidia-smi'), join(folder, 'runs')]
  await writeFile(path, `#!/bin/sh\necho "$@" >> ${runs}\n${body}\n`)
  await chmod(path, 0o755)
  return { path, runs: () => readFile(runs, 'utf8').then((text) => text.trim().split('\n')) }
}

const row = '0, GPU-1, NVIDIA H100 80GB HBM3, 97, 81559, 70000, 11559, 61, 603.12, 700.00'

test('GPUs are told as nvidia-smi tells them, in one run for all who ask together', async () => {
  const { path, runs } = await program(`echo "${row}"`)
  const stats = createStats({ nvidiaSmi: path })
  const [one, other] = await Promise.all([stats.read(), stats.read()])
  expect(one).toBe(other)
  expect(await runs()).toEqual([
    '--query-gpu=index,uuid,name,utilization.gpu,memory.total,memory.used,memory.free,temperature.gpu,power.draw,power.limit --format=csv,noheader,nounits',
  ])
  expect(one).toMatchObject({ gpu_count: 1, nvidia_smi_error: null, host_memory_error: null })
  expect(one.memory_used_bytes).toBe((one.memory_total_bytes ?? 0) - (one.memory_available_bytes ?? 0))
  expect(one.collected_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
})

test.each([
  ['/nonexistent/nvidia-smi', 'nvidia-smi is unavailable on this host.'],
  ['echo broken; echo worse >&2; exit 9', 'Failed to query GPU stats from nvidia-smi: broken\nworse'],
  ['echo nonsense', 'Could not parse GPU stats from nvidia-smi output.'],
  ['true', null],
])('of %s it is said that %s', async (body, error) => {
  const nvidiaSmi = body.startsWith('/') ? body : (await program(body)).path
  expect(await createStats({ nvidiaSmi }).read()).toMatchObject({ gpu_count: 0, gpus: [], nvidia_smi_error: error })
})

test('one that hangs costs its bound, and memory that cannot be read is said to be so', async () => {
  const { path } = await program('exec sleep 60')
  const found = await createStats({ nvidiaSmi: path, timeout: 200, meminfo: '/nonexistent/meminfo' }).read()
  expect(found.nvidia_smi_error).toBe('Failed to query GPU stats from nvidia-smi: no answer within 200 ms')
  expect(found.host_memory_error).toContain('Failed to parse /proc/meminfo: ')
  expect(found.memory_total_bytes).toBeNull()
})

test('cells that are absent are null, rows that are short are skipped, and GPUs are in the order of their ids', () => {
  const text = [
    '7, GPU-7, , [N/A], 100 MiB, N/A, [Not Supported], Not Supported, , 12.5',
    'no, row',
    row,
    '1, GPU-1, "a, ""b""", 0, 1, 2, 3, 4, 5, 6, 7',
  ].join('\r\n')
  const found = parseGpuStats(text)
  expect(found.map(({ gpu_id, name }) => `${gpu_id} ${name}`)).toEqual([
    '0 NVIDIA H100 80GB HBM3',
    '1 a, "b"',
    '7 unknown',
  ])
  expect(found.at(-1)).toEqual({
    gpu_id: 7,
    uuid: 'GPU-7',
    name: 'unknown',
    utilization_percent: null,
    memory_total_mib: 100,
    memory_used_mib: null,
    memory_free_mib: null,
    temperature_c: null,
    power_draw_watts: null,
    power_limit_watts: 12.5,
  })
})

test('free memory stands in where there is no available one; without either it is wrong', () => {
  expect(parseMeminfo('MemTotal:  10 kB\nMemFree: 4 kB\n')).toEqual({ total: 10_240, available: 4096 })
  expect(parseMeminfo('MemTotal:  10 kB\n')).toBe('MemTotal or MemAvailable is missing')
})

test('what is a float is written as one', async () => {
  const found = await createStats({ nvidiaSmi: '/nonexistent/nvidia-smi' }).read()
  const text = renderStats({ ...found, load_avg_1m: 0, load_avg_5m: 1.5, cpu_count: 2 })
  expect(text).toContain('"load_avg_1m":0.0,"load_avg_5m":1.5,')
  expect(text).toContain('"cpu_count":2,')
})
