// Which launch a person means: its id, the beginning of it, or its name.
import type { LaunchResponse } from '../api/launches.ts'
import { isTerminal } from '../api/launches.ts'
import { pickNearestWord } from '../core/edit-distance.ts'
import { Refusal } from '../core/errors.ts'
import { ask } from './socket-client.ts'

/** @throws Refusal where none is meant, or several are */
export async function findLaunch(socket: string, word: string): Promise<LaunchResponse> {
  return pickLaunch(await ask<LaunchResponse[]>(socket, 'GET /launches?include_terminal=true'), word)
}

/** Pure. A name may be used again: a living launch is meant rather than ended ones, of those the latest. @throws Refusal */
export function pickLaunch(all: readonly LaunchResponse[], word: string): LaunchResponse {
  const named = all.filter(({ name }) => name === word)
  const living = named.find(({ state }) => !isTerminal(state)) ?? named.at(-1)
  const begun = all.filter(({ launch_id }) => launch_id === word || (word.length >= 4 && launch_id.startsWith(word)))
  const found = living ?? begun[0]
  const nearest = found ? undefined : pickNearestWord(word, [...new Set(all.flatMap(({ name }) => name ?? []))])
  const remedy = `${nearest === undefined ? '' : `did you mean ${nearest}? `}\`gonka-node launches --all\` lists them`
  if (!found) throw new Refusal('no-such-launch', 404, `no launch has the id or name "${word}"`, { remedy })
  if (!living && begun.length > 1) {
    const ids = begun.map(({ launch_id }) => launch_id).join(', ')
    throw new Refusal('several-launches', 409, `"${word}" begins several ids: ${ids}`, { remedy: 'write more of it' })
  }
  return found
}
