// Every problem that an engine can have: code, title, remedy. README's table is generated from here.
import { problemsOf } from '../core/problem.ts'
import { signatures } from './signatures.ts'

const own = {
  'venv-missing': {
    title: 'the Python of vLLM is not there',
    remedy: 'set VLLM_PYTHON_PATH to the python of the vLLM environment, or install one',
  },
  'vllm-missing': {
    title: 'no vLLM is installed in that environment',
    remedy: 'install vLLM into it, or name the launch profile with VLLM_PROFILE if this program stands in for it',
  },
  'gpus-too-few': {
    title: 'fewer GPUs than one engine needs',
    remedy: 'lower TENSOR_PARALLEL_SIZE or PIPELINE_PARALLEL_SIZE, or use a larger instance',
  },
  'gpus-absent': {
    title: 'this launch profile needs a GPU',
    remedy: 'use a GPU instance, or the stock profile with a CPU build of vLLM',
  },
  'tensor-parallel-impossible': {
    title: 'the model cannot be split that way',
    remedy: 'set TENSOR_PARALLEL_SIZE to one of the valid values, or AUTO_TP_FALLBACK=true',
  },
  'engine-not-launched': {
    title: 'the engine could not be started',
    remedy: 'free disk space and check that the state and log folders are writable',
  },
  'engine-load-stalled': {
    title: 'the load shows no progress',
    remedy: 'look at the engine log; a slow disk needs a larger VLLM_RUNNER_TIMEOUT',
  },
  'engine-wrong-model': {
    title: 'the engine serves another model',
    remedy: 'see what listens on the engine port; only the daemon may start engines there',
  },
  'engine-unhealthy': {
    title: 'the engine listens but is not healthy',
    remedy: 'look at the engine log',
  },
  'engine-poc-missing': {
    title: 'the engine has no working PoC routes',
    remedy: 'check that the PoC overlay or plugin fits this vLLM, or set VLLM_PROFILE=stock',
  },
  'engine-hung': {
    title: 'the engine has work but makes no progress',
    remedy: 'it is restarted; if it repeats, look at the engine log and the GPU (dmesg, Xid)',
  },
  'engine-refuses': {
    title: 'the engine refuses connections though its process lives',
    remedy: 'it is restarted; look at the engine log',
  },
  'engine-exited': {
    title: 'the engine ended without being asked to',
    remedy: 'look at the last lines of the engine log',
  },
  'engine-unkillable': {
    title: 'processes of the engine survive SIGKILL',
    remedy: 'a driver holds them; reset the GPU or reboot the instance',
  },
  'gpu-memory-kept': {
    title: 'the GPU memory of an ended engine did not come back',
    remedy:
      'it is waited for, and its GPU given to nobody else until a look at nvidia-smi shows it free; where it stays, end the processes named in the evidence, reset the GPU or reboot',
  },
} as const

const diagnosed = Object.fromEntries(signatures.map(({ code, title, remedy }) => [code, { title, remedy }]))

export const engineProblems: Readonly<Record<string, { title: string; remedy: string }>> = { ...own, ...diagnosed }

export const engineProblem = problemsOf(own)
