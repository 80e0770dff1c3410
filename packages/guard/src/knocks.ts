/** Strangers that tried: remembered, so that an owner can make one known, and bounded. They never cause a prompt. */

/** One stranger. */
export interface Knock {
  readonly peer: string
  /** How it was connected the last time. */
  readonly connection: string
  readonly atMs: number
  readonly times: number
}

/** Strangers, the least recent forgotten. */
export class Knocks {
  readonly #max: number
  readonly #byPeer = new Map<string, Knock>()

  constructor(max: number) {
    this.#max = max
  }

  add(peer: string, connection: string, atMs: number): void {
    const times = (this.#byPeer.get(peer)?.times ?? 0) + 1
    this.#byPeer.delete(peer)
    this.#byPeer.set(peer, { peer, connection, atMs, times })
    const [oldest] = this.#byPeer.keys()
    if (this.#byPeer.size > this.#max && oldest !== undefined) this.#byPeer.delete(oldest)
  }

  remove(peer: string): void {
    this.#byPeer.delete(peer)
  }

  /** Newest first. */
  list(): Knock[] {
    return [...this.#byPeer.values()].reverse()
  }
}
