// Every problem that registration can show, with its remedy. README's table is made from here.
import { problemsOf } from '../core/problem.ts'

export const apiNodeProblems = {
  'api-node-unreachable': {
    title: 'an API node cannot be reached',
    remedy:
      'check API_NODES (the admin port is 9200 unless mapped), the firewall of the API node and its process; we keep trying',
  },
  'api-node-silent': {
    title: 'an API node accepts connections and does not answer',
    remedy: 'look at the API node: its broker may be blocked by another node that hangs; we keep trying',
  },
  'api-node-failing': {
    title: 'an API node answers with an error of its own',
    remedy: 'look at the log of the API node; we keep trying',
  },
  'api-node-garbage': {
    title: 'what answers in the place of an API node is none',
    remedy: 'check address and port in API_NODES: the admin API speaks plain HTTP and JSON, on port 9200 unless mapped',
  },
  'api-node-redirects': {
    title: 'an API node redirects, which we do not follow',
    remedy: 'write the address that really answers into API_NODES, without a proxy that redirects',
  },
  'api-node-denies': {
    title: 'an API node denies us its admin API',
    remedy: 'allow the address of this machine in the firewall or proxy before the admin port of the API node',
  },
  'api-node-no-admin': {
    title: 'an API node has no admin API at this address',
    remedy: 'write the admin port (9200 unless mapped) into API_NODES, or the right path into REGISTRATION_ENDPOINT',
  },
  'registration-refused': {
    title: 'an API node refuses our registration',
    remedy:
      'correct the setting that the evidence names; it is sent again after a change of configuration, and every 10 to 30 minutes',
  },
  'registration-partial': {
    title: 'an API node took only a part of our registration',
    remedy:
      'correct the setting that the evidence names; it is sent again after a change of configuration, and every 10 to 30 minutes',
  },
  'model-not-governed': {
    title: 'the model is not one that the network governs',
    remedy:
      'set MODEL_NAME to a model of the present governance list, spelled exactly as there; we ask again every 10 to 30 minutes',
  },
  'arguments-reserved': {
    title: 'the registration holds an argument that the network reserves for itself',
    remedy: 'remove the argument that the evidence names from EXTRA_VLLM_ARGS or REGISTRATION_JSON',
  },
  'address-taken': {
    title: 'another node is registered with our host and port',
    remedy: 'give every node its own CLIENT_ID, or remove the old record with `gonka-node leave --id OLD`',
  },
  'registration-differs': {
    title: 'an API node keeps another record than the one that we sent',
    remedy:
      'compare the differences shown; a dropped model is not governed, another value may come from a second node with our id',
  },
  'registration-disabled': {
    title: 'our node is disabled at an API node',
    remedy: 'enable it there (POST /admin/v1/nodes/ID/enable) when this was not meant',
  },
  'registration-left-behind': {
    title: 'an old registration of this machine is still at an API node',
    remedy: 'run `gonka-node leave --id OLD` with the id that the evidence names',
  },
  'registrations-not-saved': {
    title: 'what we registered cannot be written down',
    remedy: 'free space in the state folder or make it writable; until then a later change of CLIENT_ID goes unnoticed',
  },
  'node-seen-failed': {
    title: 'an API node cannot use us although an engine serves',
    remedy:
      'check that the announced host and both ports are reachable from the API node; its own reason is in the evidence',
  },
  'own-address-unknown': {
    title: 'there is no address under which an API node could reach us',
    remedy: 'set NODE_HOST to the address of this machine, or FRP_SERVERS for tunnels',
  },
  'model-not-set': {
    title: 'there is no model to register',
    remedy: 'set MODEL_NAME',
  },
  'poc-start-failed': {
    title: 'PoC could not be started with what an API node gave us',
    remedy: 'look at the evidence; the API node starts PoC itself in its next phase',
  },
} as const

export type ApiNodeProblemCode = keyof typeof apiNodeProblems

export const toProblem = problemsOf(apiNodeProblems)
