/**
 * What is counted and not written one by one, so that nobody fills an audit by being refused: strangers, and denials of a
 * known peer beyond its share (`docs/audit.md §1`). Time is handed in; it knows no entry's bytes.
 */
import { DENIAL_BURST, DENIALS_PER_MINUTE, SUMMARY_INTERVAL_MS } from '../limits.ts'

/** What a summary says. */
export interface Summary {
  /** 1 or more. */
  readonly count: number
  /** When the first of them came, milliseconds since the epoch. */
  readonly since: number
}

/** Counts, and gives a summary at most once in `SUMMARY_INTERVAL_MS`. */
export class Tally {
  #count = 0
  #since = 0
  #notBefore = -Infinity

  /** Counts one. */
  add(nowMs: number): void {
    if (this.#count === 0) this.#since = nowMs
    this.#count += 1
  }

  /** Whether there is nothing to tell, nor was lately. */
  isIdle(nowMs: number): boolean {
    return this.#count === 0 && nowMs >= this.#notBefore
  }

  /** A summary, where one is due; it begins anew. */
  due(nowMs: number): Summary | undefined {
    if (this.#count === 0 || nowMs < this.#notBefore) return undefined
    this.#notBefore = nowMs + SUMMARY_INTERVAL_MS
    return this.rest()
  }

  /** What was not told yet, due or not: for who locks. */
  rest(): Summary | undefined {
    if (this.#count === 0) return undefined
    const summary = { count: this.#count, since: this.#since }
    this.#count = 0
    return summary
  }
}

/** A peer's denials: tokens left at a time, and what was not written since. */
interface Share {
  tokens: number
  atMs: number
  readonly untold: Tally
}

/** Denials of known peers: each is written while its peer has a share left, then they are counted. */
export class DenialBuckets {
  readonly #shares = new Map<string, Share>()

  /** How many peers are remembered: those that were denied something within the last minutes. */
  get size(): number {
    return this.#shares.size
  }

  /** A known peer is denied something: is it written by itself. Where not, it is counted. */
  writes(peer: string, nowMs: number): boolean {
    let share = this.#shares.get(peer)
    if (share === undefined) {
      share = { tokens: DENIAL_BURST, atMs: nowMs, untold: new Tally() }
      this.#shares.set(peer, share)
    }
    refill(share, nowMs)
    if (share.tokens >= 1) {
      share.tokens -= 1
      return true
    }
    share.untold.add(nowMs)
    return false
  }

  /** Summaries that are due, by peer; peers with a whole share again are forgotten. */
  due(nowMs: number): (Summary & { readonly peer: string })[] {
    const all: (Summary & { readonly peer: string })[] = []
    for (const [peer, share] of this.#shares) {
      const summary = share.untold.due(nowMs)
      if (summary !== undefined) all.push({ peer, ...summary })
      refill(share, nowMs)
      if (share.tokens >= DENIAL_BURST && share.untold.isIdle(nowMs)) this.#shares.delete(peer)
    }
    return all
  }

  /** What was not told yet, due or not: for who locks. */
  rest(): (Summary & { readonly peer: string })[] {
    return [...this.#shares].flatMap(([peer, { untold }]) => {
      const summary = untold.rest()
      return summary === undefined ? [] : [{ peer, ...summary }]
    })
  }
}

/** A clock set back gives nothing and takes nothing. */
function refill(share: Share, nowMs: number): void {
  const elapsedMs = nowMs - share.atMs
  if (elapsedMs <= 0) return
  share.atMs = nowMs
  share.tokens = Math.min(DENIAL_BURST, share.tokens + (elapsedMs * DENIALS_PER_MINUTE) / 60_000)
}
