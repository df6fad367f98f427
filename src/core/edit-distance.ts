// How far two words are from each other, and which known word a mistyped one was meant to be. Pure.

/** Insertions, deletions, replacements and swaps of neighbours. Upper and lower case differ by one for the whole name. */
export function editDistance(left: string, right: string): number {
  if (left !== right && left.toUpperCase() === right.toUpperCase()) return 1
  const rows: number[][] = [Array.from({ length: right.length + 1 }, (_, at) => at)]
  for (let i = 1; i <= left.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= right.length; j += 1) {
      const same = left[i - 1] === right[j - 1]
      const swap = i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]
      row[j] = Math.min(
        at(rows, i - 1, j) + 1,
        (row[j - 1] ?? 0) + 1,
        at(rows, i - 1, j - 1) + (same ? 0 : 1),
        swap ? at(rows, i - 2, j - 2) + 1 : Infinity,
      )
    }
    rows.push(row)
  }
  return at(rows, left.length, right.length)
}

const at = (rows: readonly number[][], i: number, j: number) => rows[i]?.[j] ?? 0

/** The known word that `word` was probably meant to be: it begins it, or is at most two mistakes away. */
export function pickNearestWord(word: string, known: readonly string[]): string | undefined {
  const begun = word.length > 1 ? known.filter((one) => one.startsWith(word)) : []
  if (begun.length > 0) return begun.toSorted((a, b) => a.length - b.length)[0]
  const patience = word.length < 4 ? 1 : 2
  const [best] = known
    .map((one) => ({ one, distance: editDistance(word, one) }))
    .filter(({ distance }) => distance <= patience)
    .toSorted((a, b) => a.distance - b.distance)
  return best?.one
}
