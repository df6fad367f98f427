import { defineConfig } from 'vitest/config'
import { ClosingLine } from './test/support/closing-line.ts'

// Tests wait for processes and sockets more than they compute: more workers than cores, and generous bounds on a busy machine.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/vllm/**', 'node_modules/**'],
    reporters: ['default', new ClosingLine()],
    pool: 'forks',
    maxWorkers: 4,
    testTimeout: 90_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
  },
})
