/**
 * How often somebody may be wrong about who he is: an approver's token lets nobody guess a passphrase at the speed of a
 * machine. What was wrong is counted for the audit. Pure but for the clock that is handed in.
 */
import { VaultError } from '@stronghold/vault'
import type { Clock } from '@stronghold/vault'

import { Tally } from './audit/quiet.ts'
import type { Summary } from './audit/quiet.ts'

/** How soon one wrong proof is forgiven, in milliseconds. */
const FORGIVEN_MS = 60_000

/** Counts proofs of who approves. */
export class Confirms {
  readonly #most: number
  readonly #clock: Clock
  /** By who it was that showed them. */
  readonly #untold = new Map<string, Tally>()
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
   * @param by - whose token was shown with it
   * @throws `VaultError` `resource_exhausted` after too many wrong ones; what `proof` throws
   */
  async run(by: 'owner' | 'approver', proof: () => Promise<unknown>): Promise<void> {
    try {
      await this.#run(proof)
    } catch (error) {
      const untold = this.#untold.get(by) ?? new Tally()
      this.#untold.set(by, untold)
      untold.add(this.#clock.nowMs())
      throw error
    }
  }

  /** What was wrong and is to be written down: the first at once, then once a minute; with `all`, whatever was not told. */
  wrong({ all = false }: { all?: boolean } = {}): (Summary & { readonly by: string })[] {
    const nowMs = this.#clock.nowMs()
    return [...this.#untold].flatMap(([by, untold]) => {
      const summary = all ? untold.rest() : untold.due(nowMs)
      return summary === undefined ? [] : [{ by, ...summary }]
    })
  }

  async #run(proof: () => Promise<unknown>): Promise<void> {
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
