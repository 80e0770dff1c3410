/**
 * Runs partnerships by themselves: those with a rhythm when it is due, those that follow changes when the vault has moved on.
 * One run at a time; a partner that fails is left alone for longer and longer. Whether it may, labels and rules say.
 */
import { createHash } from 'node:crypto'

import { equalBytes, toHex } from '@stronghold/core'
import type { OwnerDoor, SyncPartnership } from '@stronghold/guard'
import type { Clock } from '@stronghold/vault'

import type { Home } from '../home.ts'
import { pause } from '../io.ts'
import { MAX_SYNC_PAUSE_MS, MIN_SYNC_PAUSE_MS } from '../limits.ts'
import type { NodeDoor } from '../node/door.ts'
import { runPartnership } from '../sync-run.ts'
import { Complaints } from './complaints.ts'

/** What runs need. */
export interface SyncsInit {
  readonly owner: OwnerDoor
  readonly node: NodeDoor
  readonly home: Home
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told what went wrong, in one sentence, once for each kind of failure. */
  note(text: string): void
}

/** How it went with one partnership. */
export interface Past {
  /** When the last run ended, and what the vault held then. */
  readonly atMs: number
  readonly held: string
  readonly failures: number
}

/** Looks every few seconds, until the signal fires. A vault that is locked rests, and to look is no use of it. */
export async function scheduleSyncs(init: SyncsInit): Promise<void> {
  const { clock, signal } = init
  const past = new Map<string, Past>()
  const holding = new Holding(init.owner)
  const complaints = new Complaints((text) => {
    if (!signal.aborted) init.note(text)
  })
  while (!signal.aborted) {
    try {
      await runDue(init, past, holding, complaints)
      complaints.well('')
    } catch (error) {
      complaints.wrong('', error)
    }
    await pause(clock, MIN_SYNC_PAUSE_MS, signal)
  }
}

/** One partner that fails keeps no other waiting. */
async function runDue(
  init: SyncsInit,
  past: Map<string, Past>,
  holding: Holding,
  complaints: Complaints,
): Promise<void> {
  const { owner, clock, signal } = init
  if ((await owner.status()).locked) return
  const all = await owner.syncList()
  for (const name of past.keys()) {
    if (!all.some((one) => one.name === name)) past.delete(name)
  }
  for (const one of all) {
    const held = one.onChange ? await holding.now() : ''
    if (signal.aborted || !isDue(one, past.get(one.name), clock.nowMs(), held)) continue
    const failures = past.get(one.name)?.failures ?? 0
    try {
      const { stopped } = await runPartnership({ ...init, name: one.name })
      // What the run itself wrote is no change.
      const left = one.onChange ? await holding.now() : ''
      past.set(one.name, { atMs: clock.nowMs(), held: left, failures: 0 })
      if (stopped === undefined) complaints.well(one.name)
      else complaints.tell(one.name, `${one.name} is stopped: stronghold sync list says why`)
    } catch (error) {
      past.set(one.name, { atMs: clock.nowMs(), held, failures: failures + 1 })
      complaints.wrong(one.name, error)
    }
  }
}

/** What the vault holds, in a few bytes: not its head, which moves with every request that it answers. */
class Holding {
  readonly #owner: OwnerDoor
  #head: Uint8Array | undefined
  #held = ''

  constructor(owner: OwnerDoor) {
    this.#owner = owner
  }

  /** Reads the list of records only where anything was written since it was asked last. */
  async now(): Promise<string> {
    const { head } = await this.#owner.status()
    if (head !== undefined && this.#head !== undefined && equalBytes(head, this.#head)) {
      return this.#held
    }
    const hash = createHash('sha256')
    for (const one of await this.#owner.records()) {
      const { id, path, version, minimum, versions, egress, sync } = one
      hash.update(JSON.stringify([toHex(id), path, version, minimum, versions, egress, sync]))
    }
    this.#head = head
    this.#held = hash.digest('base64')
    return this.#held
  }
}

/** Is it time. Exported for its test. */
export function isDue(
  { paused, why, everyMs, onChange, lastRunAtMs = 0 }: SyncPartnership,
  past: Past | undefined,
  nowMs: number,
  held: string,
): boolean {
  // What a person has to decide no run decides.
  if (paused || why === 'rolled-back' || why === 'unseen' || why === 'key') return false
  if (past !== undefined && past.failures > 0) {
    const waitMs = Math.min(MIN_SYNC_PAUSE_MS * 2 ** past.failures, MAX_SYNC_PAUSE_MS)
    if (nowMs < past.atMs + waitMs) return false
  }
  const isPeriodOver = everyMs !== undefined && nowMs >= (past?.atMs ?? lastRunAtMs) + everyMs
  return isPeriodOver || (onChange && past?.held !== held)
}
