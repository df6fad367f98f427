// Ends a run with one plain line that any log reader understands: `tests: 120 passed, 0 failed, 3 skipped`.
import type { Reporter, TestModule } from 'vitest/node'

export class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    for (const module of modules) {
      for (const one of module.children.allTests()) count[one.result().state] += 1
      // A file that fails before its tests are known counts as one failure.
      if (module.errors().length > 0) count.failed += 1
    }
    process.stdout.write(`tests: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`)
  }
}
