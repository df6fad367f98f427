import { defineConfig } from 'vitest/config'

// Tests wait for processes and sockets more than they compute: more workers than cores, and generous bounds on a busy machine.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/vllm/**', 'node_modules/**'],
    pool: 'forks',
    maxWorkers: 4,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
  },
})
