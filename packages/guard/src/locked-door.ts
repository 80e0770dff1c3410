/**
 * The network door of a vault that is locked, for peers that may wait: what they ask for is noted, and waited for until
 * somebody unlocks. It runs nothing, and whoever may not wait is not for it to answer.
 */
import { toHex } from '@stronghold/core'
import type { Clock } from '@stronghold/vault'

import { CANCELED, EXPIRED, LOCKED, refused, SEND_AGAIN, TOO_MANY } from './answers.ts'
import type { Answer, Asker, PeerRequest } from './doors.ts'
import { requestKey } from './held.ts'
import { Intake } from './intake.ts'
import type { IntakeInit, Note } from './intake.ts'
import type { Waits } from './waits.ts'

/** How often deadlines are looked at, in milliseconds. */
const SWEEP_MS = 1000

/** What such a door is made of. */
export interface LockedDoorInit extends IntakeInit {
  readonly waits: Waits
}

/** See above. Opened after the vault was locked, and ended before anything is asked of an unlocked one. */
export class LockedDoor {
  readonly #intake: Intake
  readonly #clock: Clock
  readonly #waits: Waits
  #stopTimer: (() => void) | undefined
  #ended = false

  /** @throws as `Intake` */
  constructor({ waits, ...init }: LockedDoorInit) {
    this.#intake = new Intake(init)
    this.#clock = init.clock
    this.#waits = waits
    this.#arm()
  }

  /** How many requests wait for the vault to be unlocked. */
  get size(): number {
    return this.#intake.size
  }

  mayWait(peer: string): boolean {
    return this.#intake.mayWait(peer)
  }

  /** @throws as `Intake.note` */
  submit(asker: Asker, request: PeerRequest): Answer {
    const note = this.#intake.note(asker, request)
    this.#arm()
    return 'kind' in note ? refused(note) : this.#standing(note)
  }

  /** Once the vault is unlocked its peer has to show a request again: what was noted runs for nobody else. */
  async wait(peer: string, id: Uint8Array, signal: AbortSignal | undefined): Promise<Answer> {
    const note = this.#intake.find(peer, toHex(id))
    if (note === undefined) return refused(LOCKED)
    const stands = this.#standing(note)
    if (stands.state !== 'pending' || signal?.aborted === true) return stands
    if (this.#waits.full) return refused(TOO_MANY)
    await this.#waits.until(requestKey(peer, note.id), signal)
    if (this.#ended) return refused(SEND_AGAIN)
    return this.#intake.find(peer, note.id) === undefined ? refused(CANCELED) : this.#standing(note)
  }

  /** @throws as `Intake.cancel` */
  cancel(peer: string, id: Uint8Array): Answer {
    const text = toHex(id)
    if (!this.#intake.cancel(peer, text)) return refused(LOCKED)
    this.#waits.wake([requestKey(peer, text)])
    return refused(CANCELED)
  }

  /** The vault is unlocked, or let go of. */
  end(): void {
    this.#ended = true
    this.#stopTimer?.()
  }

  #standing({ expiresAtMs }: Note): Answer {
    const remainingMs = expiresAtMs - this.#clock.nowMs()
    return remainingMs <= 0 ? refused(EXPIRED) : { state: 'pending', expiresAtMs, remainingMs }
  }

  /** Looks at deadlines for as long as there are any. */
  #arm(): void {
    if (this.#ended || this.#stopTimer !== undefined || this.#intake.size === 0) return
    this.#stopTimer = this.#clock.setTimer(SWEEP_MS, () => {
      this.#stopTimer = undefined
      try {
        this.#waits.wake(this.#intake.sweep().map(({ peer, id }) => requestKey(peer, id)))
      } catch {
        // What could not be taken away is tried again.
      }
      this.#arm()
    })
  }
}
