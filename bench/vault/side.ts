/** What can be measured of a vault, and beside what: a side does one thing again and again, and says how often. */

/** One who is measured. */
export interface Side {
  /** Does it once; says how many were done. */
  once(): number | Promise<number>
}

/** One measure with its sides. */
export interface Measure {
  readonly name: string
  readonly title: string
  /** What ours is held against, in words. */
  readonly beside: string
  readonly ours: Side
  readonly raw: Side
}

/** How many are done in a second. */
export async function perSecond({ once }: Side, forMs: number): Promise<number> {
  const begun = performance.now()
  let done = 0
  let elapsed = 0
  do {
    done += await once()
    elapsed = performance.now() - begun
  } while (elapsed < forMs)
  return (done / elapsed) * 1000
}
