// The blocks of README that are made from the sources: variables, verbs, exit statuses, problems. A test holds README to them.
import { exitMeanings, exits, type Verb } from '../cli/verb.ts'
import { verbs } from '../cli/verbs.ts'
import { renderVariables } from '../config/reference.ts'
import { problemTables } from './problem-tables.ts'

/** The text of each block by the name of its marks. */
export async function referenceBlocks(): Promise<Record<string, string>> {
  return {
    variables: renderVariables(),
    verbs: await renderVerbs(),
    exits: renderExits(),
    problems: renderProblems(),
  }
}

/** What stands between the marks `<!-- name -->` and `<!-- /name -->`. @throws where `readme` lacks them */
export function readBlock(readme: string, name: string): string {
  const { from, to } = findBlock(readme, name)
  return readme.slice(from, to).trim()
}

export function replaceBlock(readme: string, name: string, block: string): string {
  const { from, to } = findBlock(readme, name)
  return `${readme.slice(0, from)}\n\n${block}\n\n${readme.slice(to)}`
}

function findBlock(readme: string, name: string): { from: number; to: number } {
  const mark = `<!-- ${name} -->`
  const from = readme.indexOf(mark) + mark.length
  const to = readme.indexOf(`<!-- /${name} -->`)
  if (from < mark.length || to < from) throw new Error(`README has no block between ${mark} and <!-- /${name} -->`)
  return { from, to }
}

async function renderVerbs(): Promise<string> {
  const loaded = await Promise.all(
    Object.entries(verbs).map(async ([name, load]): Promise<[string, Verb]> => [name, await load()]),
  )
  return loaded.map(([name, verb]) => renderVerb(name, verb)).join('\n\n')
}

function renderVerb(name: string, { usage, summary, help }: Verb): string {
  const head = `### \`${`gonka-node ${name} ${usage}`.trim()}\`\n\n${toSentence(summary)}`
  return help ? `${head}\n\n\`\`\`text\n${help.trim()}\n\`\`\`` : head
}

const toSentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

function renderExits(): string {
  const rows = Object.entries(exitMeanings).map(([name, meaning]) => {
    return `| ${exits[name as keyof typeof exits]} | ${escapeCell(meaning)} |`
  })
  return ['| Status | Meaning |', '| --- | --- |', ...rows].join('\n')
}

function renderProblems(): string {
  const tables = Object.values(problemTables).map(({ title, problems }) => {
    const rows = Object.entries(problems).map(([code, problem]) => {
      return `| \`${code}\` | ${escapeCell(problem.title)} | ${escapeCell(problem.remedy)} |`
    })
    return [`### ${title}`, '', '| Code | What is wrong | What to do |', '| --- | --- | --- |', ...rows].join('\n')
  })
  return tables.join('\n\n')
}

const escapeCell = (text: string) => text.replaceAll('|', '\\|')
