// What clients of the launch service ask of a whole daemon, over its REST door.
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { LaunchResponse } from '../../src/api/launches.ts'
import { ask, model } from '../machine/asks.ts'
import type { World } from '../machine/world.ts'
import { eventually } from '../support/eventually.ts'

const patience = 60_000
const headers = { 'content-type': 'application/json' }

type Body = Record<string, unknown>

/** No model of the node's own, and nobody who orders one. */
export const standsAlone = { API_NODES: '', CLIENT_ID: '', FRP_SERVERS: '', MODEL_NAME: '' }

export function createLaunchCalls(world: World) {
  const post = (body: Body) => ask(`${world.control}/launch`, { body: { model, ...body }, headers, ms: 30_000 })
  const look = async (id: string) => JSON.parse((await ask(`${world.control}/status/${id}`)).text) as LaunchResponse
  return {
    /** Whatever it is answered. */
    post,
    /** It must be taken. */
    launch: async (body: Body): Promise<LaunchResponse> => {
      const { status, text } = await post(body)
      expect({ status, text }).toMatchObject({ status: 201 })
      return JSON.parse(text) as LaunchResponse
    },
    /** The text of a refusal. */
    refused: async (body: Body, status = 409): Promise<string> => {
      const answer = await post(body)
      expect(answer).toMatchObject({ status })
      return (JSON.parse(answer.text) as { detail: string }).detail
    },
    look,
    list: async (terminal = false): Promise<LaunchResponse[]> => {
      const query = terminal ? '?include_terminal=true' : ''
      return JSON.parse((await ask(`${world.control}/launch${query}`)).text) as LaunchResponse[]
    },
    untilState: (id: string, state: LaunchResponse['state'], ms = patience) => {
      const seen: { last?: LaunchResponse } = {}
      const reached = async () => {
        seen.last = await look(id)
        return seen.last.state === state ? seen.last : undefined
      }
      return eventually(`${id} is ${state}`, reached, ms).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}: ${JSON.stringify(seen.last)}`, { cause: error })
      })
    },
    stop: async (id: string): Promise<LaunchResponse> => {
      const answer = await ask(`${world.control}/stop/${id}`, { method: 'POST', ms: 40_000 })
      expect(answer).toMatchObject({ status: 200 })
      return JSON.parse(answer.text) as LaunchResponse
    },
    /** Of the engine that sees exactly these GPUs. */
    pidsOn: async (...gpus: number[]) =>
      (await world.processes())
        .filter(
          ({ kind, pid }) => kind === 'engine' && readEnviron(pid).includes(`CUDA_VISIBLE_DEVICES=${gpus.join()}`),
        )
        .map(({ pid }) => pid)
        .toSorted((a, b) => a - b),
  }
}

function readEnviron(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}
