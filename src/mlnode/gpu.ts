// GPUs as the broker wants them: it makes the registered hardware text from name and memory.
import type { FastifyInstance } from 'fastify'
import type { GpuDevice, GpuDriver } from '../api/mlnode.ts'
import { within } from '../core/abort.ts'
import { until } from '../core/watch.ts'
import type { Gpu, Inventory } from '../gpu/inventory.ts'
import type { MlnodeDeps } from './deps.ts'
import { Detail } from './edge.ts'

/** Right after the start the driver may not have answered yet; the broker gives 10 s. */
const firstAnswer = 3000

export function addGpu(app: FastifyInstance, { inventory }: MlnodeDeps): void {
  const known = (): Promise<Inventory> =>
    until(inventory, ({ kind }) => kind !== 'unknown', within(firstAnswer)).catch(() => inventory.peek())
  app.get('/api/v1/gpu/devices', async () => {
    const devices = toDevices(await known())
    return { devices, count: devices.length }
  })
  app.get('/api/v1/gpu/driver', async () => toDriver(await known()))
}

/** Empty where no GPU is known. */
export function toDevices(inventory: Inventory): GpuDevice[] {
  return inventory.kind === 'known' ? inventory.gpus.map(toDevice) : []
}

function toDevice(gpu: Gpu): GpuDevice {
  const { index, name, memoryTotalMiB, memoryFreeMiB, memoryUsedMiB, utilizationPercent, temperatureC } = gpu
  return {
    index,
    name,
    ...(memoryTotalMiB !== undefined && { total_memory_mb: memoryTotalMiB }),
    ...(memoryFreeMiB !== undefined && { free_memory_mb: memoryFreeMiB }),
    ...(memoryUsedMiB !== undefined && { used_memory_mb: memoryUsedMiB }),
    ...(utilizationPercent !== undefined && { utilization_percent: utilizationPercent }),
    ...(temperatureC !== undefined && { temperature_c: temperatureC }),
    is_available: true,
  }
}

function toDriver(inventory: Inventory): GpuDriver {
  if (inventory.kind === 'unknown') throw new Detail(503, 'the NVIDIA driver has not answered yet')
  if (inventory.kind === 'none') throw new Detail(503, `no NVIDIA driver: ${inventory.why}`)
  if (inventory.kind === 'failed') throw new Detail(503, `${inventory.problem.title}: ${inventory.problem.evidence}`)
  const { driverVersion = 'unknown', cudaVersion = 'unknown' } = inventory
  // NVML calls itself by CUDA's major version and the driver's own.
  const nvml = /^\d+/.exec(cudaVersion)?.[0]
  return {
    driver_version: driverVersion,
    cuda_driver_version: cudaVersion,
    nvml_version: nvml && inventory.driverVersion ? `${nvml}.${driverVersion}` : driverVersion,
  }
}
