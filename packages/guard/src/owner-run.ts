/**
 * What the owner runs: no rule is asked, and the audit and receipts say as much of it as of a peer's request. Synchronous,
 * inside a transaction of the vault.
 */
import { randomFillSync } from 'node:crypto'

import type { Chain } from '@stronghold/vault'

import { reachOf } from './deciding.ts'
import type { DecidedStep } from './deciding.ts'
import type { Work } from './desk.ts'
import type { PeerStep } from './doors.ts'
import { boundHash, requestHash, resultHash } from './hashes.ts'
import { encodeLeaf } from './receipts.ts'
import type { Trail } from './trail.ts'

/** What is run. */
export interface OwnerRun {
  readonly chain: Chain
  /** The steps as the vault has read them. */
  readonly steps: readonly DecidedStep[]
  /** The steps as they were sent, with secrets still sealed: what is hashed stands in this heap. */
  readonly sent: readonly PeerStep[]
  readonly reason: string
  readonly receipt: boolean
}

/** What came of it. */
export interface OwnerRan {
  readonly outputs: readonly Readonly<Record<string, unknown>>[]
  /** What a receipt is made of, where one is wanted (`audit.md §4`). */
  readonly leaf?: Uint8Array
}

/** Runs a chain for the owner. @throws what the chain throws, and then nothing has happened */
export function runForOwner(
  work: Work,
  { vault, trail }: { readonly vault: Uint8Array; readonly trail: Trail },
  { chain, steps, sent, reason, receipt }: OwnerRun,
): OwnerRan {
  const { tx, journal } = work
  const { touched, formats, use, footprint } = reachOf(steps, (path) => {
    const found = tx.find(path)
    return found === undefined ? undefined : { id: found.id, version: found.version }
  })
  const outputs = tx.run(chain)
  const facts = {
    use,
    outcome: 'executed' as const,
    ...(formats.length === 0 ? {} : { formats }),
    ...(reason === '' ? {} : { reason }),
  }
  if (!receipt) {
    trail.append(tx, journal, 'owner', facts)
    return { outputs }
  }
  const id = randomFillSync(new Uint8Array(16))
  const said = { vault, peer: '', id, steps: sent, footprint, formats, reason, timeoutMs: 0 }
  const records = touched.flatMap(({ record }) => (record === undefined ? [] : [record]))
  const expiresAtMs = tx.nowMs
  const bound = boundHash({ request: requestHash(said), records, expiresAtMs })
  const result = resultHash(outputs)
  const committed = trail.commitments(bound, result)
  const position = trail.append(tx, journal, 'owner', { ...facts, id, ...committed.facts })
  const leaf = encodeLeaf({
    vault,
    peer: '',
    id,
    bound,
    result,
    ...committed.salts,
    use,
    expiresAtMs,
    rule: null,
    approvals: [],
    position,
    at: tx.nowMs,
  })
  work.leaves.push(leaf)
  return { outputs, leaf }
}
