#!/usr/bin/env node
// The program. Small on purpose: it turns the compile cache on before anything larger is loaded (facts: 85 instead of 194 ms).
import { enableCompileCache } from 'node:module'

enableCompileCache()
const { main } = await import('./cli/main.ts')
await main(process.argv.slice(2))
