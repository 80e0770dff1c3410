/**
 * What a guard remembers, in memory and in rows of the vault: peers, rules, requests. Every change goes to both, and into
 * the journal, which takes the memory back where the rows are not committed. It decides nothing.
 */
import { createHash } from 'node:crypto'

import { decode, encode, encodeUtf8 } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { VaultTransaction } from '@stronghold/vault'

import type { KnownPeer, RuleVersion } from './doors.ts'
import { decodeHeld, encodeHeld, requestKey, weightOf } from './held.ts'
import type { HeldRequest } from './held.ts'
import type { Journal } from './journal.ts'
import { Kept } from './kept.ts'
import { KINDS } from './kinds.ts'
import type { GuardLimits } from './limits.ts'
import { compile } from './rules/decide.ts'
import type { CompiledRules } from './rules/decide.ts'
import { parseRules, writeRule } from './rules/parse.ts'
import type { WrittenRule } from './rules/parse.ts'
import type { Rule, Vocabulary } from './rules/rule.ts'
import { setWaiter } from './waiters.ts'

const RULES_ID = encodeUtf8('rules')
const CERTIFICATE_ID = encodeUtf8('certificate')
const NOBODY: ReadonlySet<string> = new Set()

/** What stays of a row of rules. */
interface StoredRules {
  /** The number of the next rule that is given an id. */
  next: number
  rules: (WrittenRule & { id: string })[]
}

/** Everything a guard remembers while its vault is unlocked. */
export class Book {
  readonly #limits: Readonly<GuardLimits>
  readonly #vocabulary: Vocabulary
  readonly #peers = new Map<string, KnownPeer>()
  readonly #tags = new WeakMap<KnownPeer, ReadonlySet<string>>()
  readonly #requests = new Map<string, HeldRequest>()
  /** The rows of those that ran at once; every other has one of its own. */
  readonly #ranAtOnce = new Kept()
  /** How many requests of a peer are kept, how many bytes of them, and how many of them wait for a person. */
  readonly #kept = new Map<string, number>()
  readonly #keptBytes = new Map<string, number>()
  readonly #pending = new Map<string, number>()
  #pendingTotal = 0
  #rules: CompiledRules = compile([])
  #nextRule = 1
  #historyLength = 0
  #historyFrom = 0
  #certificate: Uint8Array | null

  /** @throws `VaultError` `data_loss` (`damaged`) for a row that is not as this program writes one */
  constructor(tx: VaultTransaction, vocabulary: Vocabulary, limits: Readonly<GuardLimits>) {
    this.#limits = limits
    this.#vocabulary = vocabulary
    this.#certificate = tx.get(KINDS.key, CERTIFICATE_ID) ?? null
    try {
      for (const { value } of tx.rows(KINDS.peer)) {
        const peer = decode(value) as KnownPeer
        this.#peers.set(peer.peer, peer)
      }
      const rules = tx.get(KINDS.rules, RULES_ID)
      if (rules !== undefined) {
        const stored = decode(rules) as StoredRules
        this.#nextRule = stored.next
        this.#rules = compile(this.parse(stored.rules))
      }
      for (const { id } of tx.rows(KINDS.ruleHistory)) {
        const at = new DataView(id.buffer, id.byteOffset).getUint32(0)
        if (this.#historyLength === 0) this.#historyFrom = at
        this.#historyLength = at + 1 - this.#historyFrom
      }
      for (const { value } of tx.rows(KINDS.request)) this.#take(decodeHeld(value))
      for (const held of this.#ranAtOnce.read(tx)) this.#take(held)
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause
      throw new VaultError('data_loss', 'Cannot open vault: a row of the guard is damaged', {
        reason: 'damaged',
        cause,
      })
    }
  }

  // --- Peers

  /** A peer that the owner knows, or `undefined`. */
  peer(peer: string): KnownPeer | undefined {
    return this.#peers.get(peer)
  }

  /** All peers, in the order of their names. */
  peers(): KnownPeer[] {
    return [...this.#peers.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The peer of that name, or `undefined`. */
  peerNamed(name: string): KnownPeer | undefined {
    for (const peer of this.#peers.values()) if (peer.name === name) return peer
    return undefined
  }

  /** A name that no peer has: the wished one, or it with a number behind. */
  freeName(wished: string): string {
    for (let number = 1; ; number++) {
      const name = number === 1 ? wished : `${wished}-${number}`
      if (this.peerNamed(name) === undefined) return name
    }
  }

  /** Known and not blocked. */
  isWelcome(peer: string): boolean {
    return this.#peers.get(peer)?.blocked === false
  }

  /** The same set for as long as nothing of the peer changes. */
  tagsOf(peer: string): ReadonlySet<string> {
    const known = this.#peers.get(peer)
    if (known === undefined) return NOBODY
    let tags = this.#tags.get(known)
    if (tags === undefined) this.#tags.set(known, (tags = new Set(known.tags)))
    return tags
  }

  /** Writes a peer, or takes it away. */
  setPeer(
    tx: VaultTransaction,
    journal: Journal,
    peer: string,
    value: KnownPeer | undefined,
  ): void {
    const id = encodeUtf8(peer)
    if (value === undefined) tx.remove(KINDS.peer, id)
    else tx.put(KINDS.peer, id, encode(value))
    setWaiter(tx, peer, value?.blocked === false)
    journal.set(this.#peers, peer, value)
  }

  // --- The certificate that goes with receipts

  get certificate(): Uint8Array | null {
    return this.#certificate
  }

  setCertificate(tx: VaultTransaction, journal: Journal, envelope: Uint8Array): void {
    const before = this.#certificate
    tx.put(KINDS.key, CERTIFICATE_ID, envelope)
    this.#certificate = envelope
    journal.did(() => {
      this.#certificate = before
    })
  }

  // --- Rules

  get rules(): CompiledRules {
    return this.#rules
  }

  get vocabulary(): Vocabulary {
    return this.#vocabulary
  }

  /** The id that the next new rule gets. */
  get nextRuleId(): string {
    return `r${this.#nextRule}`
  }

  /** Reads rules with the names of this book's peers. @throws `SyntaxError` */
  parse(written: unknown): Rule[] {
    return parseRules(written, {
      vocabulary: this.#vocabulary,
      peerNamed: (name) => this.peerNamed(name)?.peer,
    })
  }

  /** Replaces the rules, and writes down what changed. */
  setRules(
    tx: VaultTransaction,
    journal: Journal,
    rules: readonly Rule[],
    changes: readonly Omit<RuleVersion, 'atMs'>[],
  ): void {
    const before = { rules: this.#rules, next: this.#nextRule }
    const numbers = rules.map(({ id }) => Number(/^r([1-9][0-9]{0,8})$/.exec(id)?.[1] ?? 0))
    this.#rules = compile(rules)
    this.#nextRule = Math.max(this.#nextRule, ...numbers.map((number) => number + 1))
    journal.did(() => {
      this.#rules = before.rules
      this.#nextRule = before.next
    })
    const stored: StoredRules = {
      next: this.#nextRule,
      rules: rules.map((rule) => writeRule(rule, this.#vocabulary)),
    }
    tx.put(KINDS.rules, RULES_ID, encode(stored))
    for (const change of changes) this.#remember(tx, journal, { ...change, atMs: tx.nowMs })
  }

  /** What happened to rules, oldest first. */
  ruleHistory(tx: VaultTransaction): RuleVersion[] {
    return [...tx.rows(KINDS.ruleHistory)].map(({ value }) => decode(value) as RuleVersion)
  }

  #remember(tx: VaultTransaction, journal: Journal, change: RuleVersion): void {
    const before = { from: this.#historyFrom, length: this.#historyLength }
    tx.put(KINDS.ruleHistory, counterId(before.from + before.length), encode(change))
    this.#historyLength++
    if (this.#historyLength > this.#limits.maxRuleHistory) {
      tx.remove(KINDS.ruleHistory, counterId(before.from))
      this.#historyFrom++
      this.#historyLength--
    }
    journal.did(() => {
      this.#historyFrom = before.from
      this.#historyLength = before.length
    })
  }

  // --- Requests

  request(peer: string, id: string): HeldRequest | undefined {
    return this.#requests.get(requestKey(peer, id))
  }

  requests(): Iterable<HeldRequest> {
    return this.#requests.values()
  }

  /** How many requests are kept. */
  get size(): number {
    return this.#requests.size
  }

  keptOf(peer: string): number {
    return this.#kept.get(peer) ?? 0
  }

  keptBytesOf(peer: string): number {
    return this.#keptBytes.get(peer) ?? 0
  }

  pendingOf(peer: string): number {
    return this.#pending.get(peer) ?? 0
  }

  get pending(): number {
    return this.#pendingTotal
  }

  /** Writes a request. */
  putRequest(tx: VaultTransaction, journal: Journal, held: HeldRequest): void {
    const key = requestKey(held.peer, held.id)
    const before = this.#setRequest(journal, key, held)
    const isNew = before === undefined
    if (isNew && held.state.phase === 'executed') this.#ranAtOnce.add(journal, key, held)
    else tx.put(KINDS.request, rowIdOf(held.peer, held.id), encodeHeld(held))
  }

  /** Writes what can be written together: the last that is done in a transaction. */
  finish(tx: VaultTransaction, journal: Journal): void {
    this.#ranAtOnce.write(tx, journal)
  }

  /** Gives rows that are half forgotten their size. */
  sweep(tx: VaultTransaction, journal: Journal): void {
    this.#ranAtOnce.sweep(tx, journal, (key) => this.#requests.get(key))
  }

  /** After a restore nothing that was pending is: its peer asks again. */
  forgetRequests(tx: VaultTransaction): void {
    for (const { id } of [...tx.rows(KINDS.request)]) tx.remove(KINDS.request, id)
    this.#ranAtOnce.clear(tx)
    this.#requests.clear()
    this.#kept.clear()
    this.#keptBytes.clear()
    this.#pending.clear()
    this.#pendingTotal = 0
  }

  /** Forgets a request. */
  removeRequest(tx: VaultTransaction, journal: Journal, { peer, id }: HeldRequest): void {
    const key = requestKey(peer, id)
    this.#setRequest(journal, key, undefined)
    if (this.#ranAtOnce.remove(tx, journal, key)) return
    tx.remove(KINDS.request, rowIdOf(peer, id))
  }

  #take(held: HeldRequest): void {
    this.#requests.set(requestKey(held.peer, held.id), held)
    this.#count(held, 1)
  }

  /** @returns what stood there */
  #setRequest(
    journal: Journal,
    key: string,
    held: HeldRequest | undefined,
  ): HeldRequest | undefined {
    const before = this.#requests.get(key)
    if (before !== undefined) this.#count(before, -1)
    if (held !== undefined) this.#count(held, 1)
    journal.did(() => {
      if (held !== undefined) this.#count(held, -1)
      if (before !== undefined) this.#count(before, 1)
    })
    journal.set(this.#requests, key, held)
    return before
  }

  #count(held: HeldRequest, by: 1 | -1): void {
    const { peer, state } = held
    add(this.#kept, peer, by)
    add(this.#keptBytes, peer, by * weightOf(held))
    if (state.phase !== 'pending') return
    add(this.#pending, peer, by)
    this.#pendingTotal += by
  }
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}

function counterId(number: number): Uint8Array {
  const id = new Uint8Array(4)
  new DataView(id.buffer).setUint32(0, number)
  return id
}

/** Peer ids have any length, and a row's id does not. */
function rowIdOf(peer: string, id: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(requestKey(peer, id)).digest())
}
