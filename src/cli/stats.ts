// `gonka-node stats`
import { setTimeout as wait } from 'node:timers/promises'
import type { SystemStats } from '../api/stats.ts'
import { askThrough } from './ask-through.ts'
import { ask } from './socket-client.ts'
import { pickSocket, socketHelp, socketOption } from './socket-path.ts'
import { renderTable } from './table.ts'
import { exits, type Verb } from './verb.ts'

export const stats: Verb = {
  usage: '[--watch] [--json] [--socket PATH]',
  summary: 'shows load, memory and GPUs of the machine',
  help: `-w, --watch    again every 2 s until Ctrl-C (on a terminal the screen is redrawn; with --json one line each)
${socketHelp}`,
  options: { ...socketOption, watch: { type: 'boolean', short: 'w' }, json: { type: 'boolean' } },
  positionals: 0,
  async run({ flags, out }) {
    const socket = pickSocket(flags)
    let found = await ask<SystemStats>(socket, 'GET /stats')
    for (;;) {
      const clear = flags['watch'] && out.colours ? '\u001B[H\u001B[2J' : ''
      out.write(flags['json'] ? `${JSON.stringify(found)}\n` : clear + renderStats(found))
      if (!flags['watch']) return exits.ok
      await wait(2000)
      // A daemon that is being restarted is waited for.
      found = await askThrough<SystemStats>(socket, 'GET /stats')
    }
  },
}

/** Pure. */
export function renderStats(found: SystemStats): string {
  const { load_avg_1m, load_avg_5m, load_avg_15m, cpu_count, memory_used_bytes, memory_total_bytes } = found
  const load = [load_avg_1m, load_avg_5m, load_avg_15m].map((one) => one?.toFixed(2) ?? '?').join(' ')
  const percent = found.memory_utilization_percent
  const memory =
    memory_used_bytes === null || memory_total_bytes === null
      ? (found.host_memory_error ?? '?')
      : `${toGib(memory_used_bytes)} of ${toGib(memory_total_bytes)} GiB (${percent?.toFixed(0) ?? '?'} %)`
  const rows = found.gpus.map((gpu) => [
    String(gpu.gpu_id),
    gpu.name,
    withUnit(gpu.utilization_percent, '%'),
    `${gpu.memory_used_mib ?? '?'} / ${gpu.memory_total_mib ?? '?'} MiB`,
    withUnit(gpu.temperature_c, '°C'),
    `${gpu.power_draw_watts?.toFixed(0) ?? '?'} / ${gpu.power_limit_watts?.toFixed(0) ?? '?'} W`,
  ])
  const gpus =
    rows.length === 0
      ? `no GPU${found.nvidia_smi_error ? `: ${found.nvidia_smi_error}` : ''}\n`
      : renderTable(['GPU', 'NAME', 'BUSY', 'MEMORY', 'TEMP', 'POWER'], rows)
  return `load    ${load} on ${cpu_count ?? '?'} CPUs\nmemory  ${memory}\n\n${gpus}`
}

const toGib = (bytes: number) => (bytes / 2 ** 30).toFixed(1)
const withUnit = (value: number | null, unit: string) => (value === null ? '?' : `${Math.round(value)} ${unit}`)
