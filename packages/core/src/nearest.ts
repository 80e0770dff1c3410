/** The word that somebody probably meant. Pure. */

/** Longest word that is compared, in characters. */
const MAX_WORD = 64

/** The word of a list that is at most two changes away, a swap of neighbours being one; or `undefined`. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
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

/** Damerau's distance, with neighbours swapped at most once. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      next.push(
        Math.min(
          (row[j - 1] ?? 0) + (isSame ? 0 : 1),
          (row[j] ?? 0) + 1,
          (next[j - 1] ?? 0) + 1,
          isSwap ? (before[j - 2] ?? 0) + 1 : Infinity,
        ),
      )
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
