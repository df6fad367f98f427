// Everything that can be wrong with this machine around us; README's table is made from this.
import { problemsOf } from '../core/problem.ts'

export const hostProblems = {
  'second-daemon': {
    title: 'another gonka-node runs on the same state folder',
    remedy: 'stop the one named in the message, or give this one a STATE_DIRECTORY of its own',
  },
  'identity-changed': {
    title: 'this disk belonged to another instance',
    remedy: 'nothing: the stored state was put aside; set a CLIENT_ID of its own where the image brought one along',
  },
  'state-unwritable': {
    title: 'the state folder cannot be written',
    remedy:
      'free space on its disk, mount it read-write, and let the service user own STATE_DIRECTORY; it is looked at every 10 s, and the daemon moves back by itself',
  },
  'path-unwritable': {
    title: 'a folder of the settings cannot be written',
    remedy: 'do what the evidence says for each of them, or name another folder; it is looked at again every 30 s',
  },
  'reclaim-notice': {
    title: 'this instance will be taken away',
    remedy: 'nothing: the node leaves in time; start another instance',
  },
  'rebalance-recommended': {
    title: 'this spot instance is likely to be taken away',
    remedy: 'start another instance early; this one goes on until its notice',
  },
  'maintenance-scheduled': {
    title: 'the cloud has scheduled maintenance of this instance',
    remedy: 'stop and start the instance before the date in the evidence, at a time of your choice',
  },
  'no-libsystemd': {
    title: 'systemd cannot be told how we are',
    remedy: 'install libsystemd (libsystemd.so.0) or the koffi package for this platform; the unit needs Type=notify',
  },
} as const

export type HostProblemCode = keyof typeof hostProblems

export const toHostProblem = problemsOf(hostProblems)
