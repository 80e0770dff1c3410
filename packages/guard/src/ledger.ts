/**
 * What was used of the limits of rules, and which approvals are remembered: in memory and in rows of the vault, so that a
 * crash resets neither. What waits for a person is reserved in memory alone: it is counted again from the requests that
 * stand.
 */
import { createHash } from 'node:crypto'

import { decode, encode, encodeUtf8, toHex } from '@stronghold/core'
import type { VaultTransaction } from '@stronghold/vault'

import { KINDS } from './kinds.ts'
import type { BoundRecord, Reach } from './deciding.ts'
import type { Work } from './desk.ts'
import type { Grant } from './doors.ts'
import { decodeGrant, encodeGrant, grantKey, grantsFor, isInForce, scopeOf } from './grants.ts'
import type { GrantScope, NotRemembered, StoredGrant } from './grants.ts'
import { ruleHash } from './hashes.ts'
import type { GuardLimits } from './limits.ts'
import { useText } from './deciding.ts'
import type { Cell, CellDecision, Memory } from './rules/decide.ts'
import type { Rule } from './rules/rule.ts'
import { countUse, decodeUsage, encodeUsage, isForgotten, usedUp, usedWithin } from './usage.ts'
import type { RuleUsage } from './usage.ts'

const EPOCH_ID = encodeUtf8('epoch')

/** Uses and grants of one unlocked vault. */
export class Ledger {
  readonly #limits: Readonly<GuardLimits>
  readonly #usage = new Map<string, RuleUsage>()
  readonly #reserved = new Map<string, number>()
  readonly #grants = new Map<string, StoredGrant>()
  /** Whether the vault was restored from a backup since it was guarded the last time. */
  readonly restored: boolean

  /**
   * Reads what stands. After a restore nothing is remembered, and every limit begins used up: nobody knows what was used
   * since the backup was made.
   *
   * @throws `SyntaxError` for a row that is damaged
   */
  constructor(tx: VaultTransaction, rules: readonly Rule[], limits: Readonly<GuardLimits>) {
    this.#limits = limits
    const stored = tx.get(KINDS.key, EPOCH_ID)
    const restored = stored !== undefined && decode(stored) !== tx.epoch
    if (stored === undefined || restored) tx.put(KINDS.key, EPOCH_ID, encode(tx.epoch))
    if (restored) this.#beginAnew(tx, rules)
    this.restored = restored
    const byId = new Map(rules.map((rule) => [toHex(usageId(rule.id)), rule.id]))
    for (const { id, value } of tx.rows(KINDS.usage)) {
      const rule = byId.get(toHex(id))
      // Of a rule that is gone nothing is asked any more; its id is never given again.
      if (rule !== undefined) this.#usage.set(rule, decodeUsage(value))
    }
    for (const { value } of tx.rows(KINDS.grant)) {
      const grant = decodeGrant(value)
      this.#grants.set(grantKey(grant), grant)
    }
  }

  /** How often a rule was used and is reserved, within a window that ends now. */
  used(nowMs: number): Memory['used'] {
    return (rule, windowMs) =>
      usedWithin(this.#usage.get(rule), windowMs, nowMs) + (this.#reserved.get(rule) ?? 0)
  }

  /** What counts of before for a request of this peer. */
  memory(peer: string, reach: Reach, nowMs: number): Memory {
    return {
      used: this.used(nowMs),
      granted: (cell, rule) => {
        const scope = scopeIn(cell, reach, peer, rule)
        return scope !== undefined && isInForce(this.#grants.get(grantKey(scope)), nowMs)
      },
    }
  }

  /** One use of each of these rules was executed. */
  count({ tx, journal }: Work, rules: readonly Rule[]): void {
    for (const { id, limits } of rules) {
      const usage = countUse(this.#usage.get(id), limits, tx.nowMs)
      tx.put(KINDS.usage, usageId(id), encodeUsage(usage))
      journal.set(this.#usage, id, usage)
    }
  }

  /** A request waits that would use these rules. */
  reserve(work: Work, rules: readonly string[]): void {
    for (const id of rules) this.#reserve(work, id, 1)
  }

  /** It waits no more. */
  release(work: Work, rules: readonly string[]): void {
    for (const id of rules) this.#reserve(work, id, -1)
  }

  /** The same for a request that stood when the vault was opened. */
  reserveStanding(rules: readonly string[]): void {
    for (const id of rules) this.#reserved.set(id, (this.#reserved.get(id) ?? 0) + 1)
  }

  /**
   * Remembers an approval for a time, for all that was asked about by this rule, or for nothing of it.
   *
   * @returns the grants, or why there are none
   */
  remember(
    { tx, journal }: Work,
    peer: string,
    reach: Reach,
    asked: { readonly cells: readonly CellDecision[]; readonly rule: Rule; readonly forMs: number },
  ): readonly Grant[] | NotRemembered {
    const { rule, forMs } = asked
    const wishes = asked.cells.flatMap(({ cell, verdict, ground }) =>
      verdict === 'ask' && ground.kind === 'rule' && ground.rule.id === rule.id
        ? [{ scope: scopeIn(cell, reach, peer, rule), path: cell.path.toString() }]
        : [],
    )
    const ends = rule.expiresAtMs === undefined ? {} : { ruleEndsAtMs: rule.expiresAtMs }
    const term = { nowMs: tx.nowMs, forMs, ...ends }
    const grants = grantsFor(wishes, term, this.#grants, this.#limits)
    if (typeof grants === 'string') return grants
    for (const grant of grants) {
      const key = grantKey(grant)
      tx.put(KINDS.grant, grantRowId(key), encodeGrant(grant))
      journal.set(this.#grants, key, grant)
    }
    return grants.map(shown)
  }

  /** Grants that hold, the newest first. */
  grants(nowMs: number): Grant[] {
    return [...this.#grants.values()]
      .filter((grant) => isInForce(grant, nowMs))
      .sort((a, b) => b.grantedAtMs - a.grantedAtMs)
      .map(shown)
  }

  /** @returns whether there was one of that id */
  revoke(work: Work, id: string): boolean {
    return this.#drop(work, (grant) => shown(grant).id === id) > 0
  }

  /** Nothing is remembered of this peer any more. */
  forgetPeer(work: Work, peer: string): void {
    this.#drop(work, (grant) => grant.peer === peer)
  }

  /** Takes away what counts no more. */
  sweep(work: Work): void {
    const { tx, journal } = work
    this.#drop(work, ({ expiresAtMs }) => expiresAtMs <= tx.nowMs)
    for (const [id, usage] of this.#usage) {
      if (!isForgotten(usage, tx.nowMs)) continue
      tx.remove(KINDS.usage, usageId(id))
      journal.set(this.#usage, id, undefined)
    }
  }

  #drop({ tx, journal }: Work, which: (grant: StoredGrant) => boolean): number {
    const dropped = [...this.#grants].filter(([, grant]) => which(grant))
    for (const [key] of dropped) {
      tx.remove(KINDS.grant, grantRowId(key))
      journal.set(this.#grants, key, undefined)
    }
    return dropped.length
  }

  #reserve({ journal }: Work, id: string, by: number): void {
    const count = (this.#reserved.get(id) ?? 0) + by
    journal.set(this.#reserved, id, count === 0 ? undefined : count)
  }

  #beginAnew(tx: VaultTransaction, rules: readonly Rule[]): void {
    for (const { id } of [...tx.rows(KINDS.grant)]) tx.remove(KINDS.grant, id)
    for (const { id } of [...tx.rows(KINDS.usage)]) tx.remove(KINDS.usage, id)
    for (const { id, limits } of rules) {
      if (limits.length === 0) continue
      tx.put(KINDS.usage, usageId(id), encodeUsage(usedUp(limits, tx.nowMs)))
    }
  }
}

function shown(grant: StoredGrant): Grant {
  const { peer, path, format, rule, grantedAtMs, expiresAtMs } = grant
  const use = useText({ procedure: grant.procedure, role: grant.role, path: '-', egress: 'none' })
  const id = `g-${toHex(grantRowId(grantKey(grant)).subarray(0, 8))}`
  const named = format === undefined ? {} : { format }
  return { id, peer, use, path, ...named, rule, grantedAtMs, expiresAtMs }
}

function scopeIn(cell: Cell, reach: Reach, peer: string, rule: Rule): GrantScope | undefined {
  const record = recordOf(cell, reach)?.id
  return scopeOf(cell, { peer, record, rule, ruleHash: ruleHash(rule) })
}

function recordOf(cell: Cell, reach: Reach): BoundRecord | undefined {
  const path = cell.path.toString()
  return reach.touched.find((one) => one.path === path && one.role === cell.role)?.record
}

function usageId(rule: string): Uint8Array {
  return encodeUtf8(rule)
}

function grantRowId(key: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(key).digest())
}
