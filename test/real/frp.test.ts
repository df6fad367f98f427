import { describe } from 'vitest'
import { findFrp } from '../support/frp-programs.ts'
import { testScenarios } from '../tunnel/scenarios.ts'

const real = findFrp()

describe.skipIf(!real.found)(`with real frps and frpc${real.found ? '' : ` (skipped: ${real.why})`}`, () => {
  testScenarios({
    frps: () => Promise.resolve(real.found ? real.frps : ''),
    frpc: () => Promise.resolve(real.found ? real.frpc : ''),
  })
})
