/** Counts what passed, failed and was skipped, and ends a run with the two lines that say so. */

/** What a run came to. */
export interface Tally {
  passed: number
  /** One line each. */
  failed: string[]
  /** One name each. */
  skipped: string[]
}

/** Adds one tally to another. */
export function add(to: Tally, more: Tally): void {
  to.passed += more.passed
  to.failed.push(...more.failed)
  to.skipped.push(...more.skipped)
}

/** The end of a run: each failure, then `N skipped: names`, then `N passed, N failed`. Sets the exit code. */
export function report(tally: Tally, write: (line: string) => void = console.log): void {
  write('')
  for (const line of tally.failed) write(`failed: ${line}`)
  const names = tally.skipped.length === 0 ? 'none' : tally.skipped.join('; ')
  write(`${tally.skipped.length} skipped: ${names}`)
  write(`${tally.passed} passed, ${tally.failed.length} failed`)
  process.exitCode = tally.failed.length > 0 ? 1 : 0
}
