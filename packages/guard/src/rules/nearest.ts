/** The word that somebody probably meant. Pure. */

/** Longest word that is compared, in characters. */
const MAX_WORD = 64

/** The word of a list that is at most two changes away from another, the first of the nearest; or `undefined`. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  if (word.length > MAX_WORD) return undefined
  let best: string | undefined
  let least = Math.min(2, Math.floor(word.length / 2)) + 1
  for (const other of words) {
    const distance = editDistance(word, other)
    if (distance < least) {
      least = distance
      best = other
    }
  }
  return best
}

/** Levenshtein's distance, row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
