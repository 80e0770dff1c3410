/**
 * How often somebody may be wrong about who he is: an approver's token lets nobody guess a passphrase at the speed of a
 * machine. Pure but for the clock that is handed in.
 */
import { VaultError } from '@stronghold/vault'
import type { Clock } from '@stronghold/vault'

/** How soon one wrong proof is forgiven, in milliseconds. */
const FORGIVEN_MS = 60_000

/** Counts proofs of who approves. */
export class Confirms {
  readonly #most: number
  readonly #clock: Clock
  #wrong = 0
  #sinceMs = 0

  /** @param most - wrong proofs in a row that are borne */
  constructor(most: number, clock: Clock) {
    this.#most = most
    this.#clock = clock
  }

  /**
   * Runs a proof. It counts as wrong from its start on, so that many at once gain nothing, and as nothing once it holds.
   *
   * @throws `VaultError` `resource_exhausted` after too many wrong ones; what `proof` throws
   */
  async run(proof: () => Promise<unknown>): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const forgiven = Math.max(Math.floor((nowMs - this.#sinceMs) / FORGIVEN_MS), 0)
    if (this.#wrong === 0 || forgiven > 0) this.#sinceMs = nowMs
    this.#wrong = Math.max(this.#wrong - forgiven, 0)
    if (this.#wrong >= this.#most) {
      throw new VaultError(
        'resource_exhausted',
        'Cannot approve: too many wrong proofs, wait a minute',
      )
    }
    this.#wrong++
    await proof()
    this.#wrong = Math.max(this.#wrong - 1, 0)
  }
}
