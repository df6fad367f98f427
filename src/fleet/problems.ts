// Every problem that the fleet reports, for README and for whoever builds one.
import type { Problem } from '../api/status.ts'
import { problemsOf } from '../core/problem.ts'

export const fleetProblems = {
  'engine-crash-loop': {
    title: 'the engine ends again and again',
    remedy: 'read the engine log (gonka-node logs) and fix the cause; the engine is still tried every 10 minutes',
  },
  'engine-failed': {
    title: 'the engine ended and nobody asked it to',
    remedy: 'it is started again by itself; when this repeats, read the engine log (gonka-node logs)',
  },
  'engines-missing': {
    title: 'fewer engines serve than planned',
    remedy: 'see the engine that does not serve; its PoC groups are not computed until it does',
  },
  'fewer-gpus-than-before': {
    title: 'this machine has fewer GPUs than it had before',
    remedy:
      'nothing to do where the instance type was changed on purpose; otherwise look for a lost GPU (nvidia-smi, dmesg for Xid)',
  },
  'gpu-memory-taken': {
    title: 'GPU memory is held by a process that is not ours',
    remedy: 'find it with nvidia-smi and end it; the engine starts as soon as the memory is back',
  },
  'gpu-held-by-launch': {
    title: "a launch holds a GPU that the node's own model needs",
    remedy:
      "stop that launch (gonka-node stop ID); NODE_GPUS keeps the node's own model to some GPUs, and launches to the others",
  },
  'impossible-order': {
    title: 'the order of the broker cannot be carried out on this machine',
    remedy: 'correct the arguments of the model at the API node',
  },
  'orders-conflict': {
    title: 'API nodes order different models in turn',
    remedy: 'let all API nodes of this node expect the same model with the same arguments',
  },
  'state-not-writable': {
    title: 'the state of the daemon cannot be stored',
    remedy:
      'free space on the disk of the state folder or make it writable; engines go on, orders are forgotten on restart',
  },
  'state-unreadable': {
    title: 'the stored wishes cannot be read',
    remedy: 'nothing to do: they are replaced at the next change; only a former order of the broker is lost',
  },
  'launch-arguments-refused': {
    title: 'the stored arguments of a launch are not accepted any more',
    remedy: 'launch it again with other arguments',
  },
  'launch-memory-taken': {
    title: 'another program took the GPU memory of the launch before its engine could start',
    remedy:
      'end that program, or launch again on other GPUs; with "queue": true a launch waits as long as it takes, for whichever GPU it may have',
  },
  'launch-rebooted': {
    title: 'the machine was rebooted',
    remedy: 'launch it again',
  },
  'launch-vanished': {
    title: 'the engine of the launch ended while the daemon was away',
    remedy: 'read the log of the launch; launch it again',
  },
  'no-engine-port': {
    title: 'no free port for an engine',
    remedy: 'free the ports above INFERENCE_PORT or choose another INFERENCE_PORT',
  },
} as const

export type FleetProblemCode = keyof typeof fleetProblems

export const fleetProblem = problemsOf(fleetProblems)

/** Of the engine of a launch that ended while no daemon was there, where nothing is known but that it ended. */
export const toVanished = (problem: Problem): Problem =>
  problem.code === 'engine-exited' ? fleetProblem('launch-vanished', problem.evidence) : problem
