import { describe } from 'vitest'
import { writeFrpProgram } from '../../src/rehearsal/frpc-program.ts'
import { testScenarios } from './scenarios.ts'

describe('with the rehearsal frps and frpc', () => {
  testScenarios({
    frps: (folder) => writeFrpProgram(folder, 'frps'),
    frpc: (folder) => writeFrpProgram(folder, 'frpc', { REHEARSAL_FRPC_SCALE: '0.1' }),
  })
})
