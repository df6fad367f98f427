#!/usr/bin/env node
// Stands in for the Python interpreter of a vLLM environment: `engine -m vllm.entrypoints.openai.api_server --model X …`.
// Behaves as facts/vllm.md 2.3-2.10 and contracts/poc-engine.md; its knobs are REHEARSAL_* (engine-knobs.ts).
import { runEngine } from './engine-run.ts'

await runEngine(process.argv.slice(2))
