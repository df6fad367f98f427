import { defineConfig } from 'vitest/config'
import { ClosingLine } from '../support/closing-line.ts'

// One real vLLM at a time: it takes 3 GB and both cores of a small machine for a minute before it serves.
export default defineConfig({
  test: {
    include: ['test/vllm/**/*.test.ts'],
    reporters: ['default', new ClosingLine()],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 480_000,
    hookTimeout: 480_000,
    teardownTimeout: 60_000,
  },
})
