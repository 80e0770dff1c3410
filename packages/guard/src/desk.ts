/**
 * Takes requests through what may become of them, inside a transaction of the vault: decided, asked, run, answered, each
 * written down before anybody hears of it. Synchronous throughout. It knows no time but the transaction's, and nobody who
 * waits: what is to be told comes back as a value.
 */
import { fromHex, isStatusCode, toHex } from '@stronghold/core'
import type { StatusCode } from '@stronghold/core'
import { isVaultError } from '@stronghold/vault'
import type { Chain, OpenVault, VaultTransaction } from '@stronghold/vault'
import { procedureOf } from '@stronghold/vault/catalog'

import { ANSWER_GONE, CANCELED, CONFLICT, DENIED, DENIED_BY_PERSON, EXPIRED } from './answers.ts'
import type { Refusal } from './answers.ts'
import { step } from './approvals.ts'
import type { AuditFacts, AuditOutcome } from './audit/entry.ts'
import type { Effect, RequestEvent, Transition } from './approvals.ts'
import type { Book } from './book.ts'
import { bind, Decisions, reachOf, useOf } from './deciding.ts'
import type { BoundRecord, Decided, DecidedRequest, DecidedStep, Reach } from './deciding.ts'
import type { Asker, Choice, PeerRequest, PeerStep } from './doors.ts'
import { resultHash } from './hashes.ts'
import type { HeldRequest, KeptAnswer } from './held.ts'
import type { OpenedNote } from './intake.ts'
import { choiceOf } from './grants.ts'
import type { Journal } from './journal.ts'
import type { GuardLimits } from './limits.ts'
import type { Ledger } from './ledger.ts'
import { RequestMolds } from './molds.ts'
import { Reaches } from './reaches.ts'
import { encodeLeaf } from './receipts.ts'
import { isGrantable } from './rules/decide.ts'
import { explain } from './rules/explain.ts'
import type { PrintContext } from './rules/print.ts'
import { sha256 } from './sha256.ts'
import type { Trail } from './trail.ts'

/** What a transaction of the desk works on. */
export interface Work {
  readonly tx: VaultTransaction
  readonly journal: Journal
  /** What is to be told once all is committed, in order. */
  readonly news: News[]
  /** What receipts of this transaction are made of (`audit.md §4`). */
  readonly leaves: Uint8Array[]
}

/** Something that somebody wants to hear, once it is durable. */
export type News =
  /** A person is asked, or no longer. */
  | { readonly type: 'prompt'; readonly held: HeldRequest }
  | { readonly type: 'unprompt'; readonly boundHash: string; readonly phase: string }
  /** Whoever waits for this request may hear where it is. */
  | { readonly type: 'answer'; readonly held: HeldRequest }
  /** This peer lost its standing. */
  | { readonly type: 'cut'; readonly peer: string }

/** What the desk is made of. */
export interface DeskInit {
  readonly vault: OpenVault
  /** 16 bytes. */
  readonly vaultId: Uint8Array
  readonly book: Book
  readonly ledger: Ledger
  readonly trail: Trail
  readonly limits: Readonly<GuardLimits>
}

interface Looked {
  readonly chain: Chain
  readonly reach: Reach
  readonly hash: Uint8Array
  readonly decided: Decided
  readonly expiresAtMs: number
}

/** Takes requests through what may become of them. */
export class Desk {
  readonly #vault: OpenVault
  readonly #vaultId: Uint8Array
  readonly #book: Book
  readonly #ledger: Ledger
  readonly #trail: Trail
  readonly #limits: Readonly<GuardLimits>
  readonly #reaches = new Reaches()
  readonly #decisions = new Decisions()
  readonly #requests = new RequestMolds()

  constructor(init: DeskInit) {
    this.#vault = init.vault
    this.#vaultId = init.vaultId
    this.#book = init.book
    this.#ledger = init.ledger
    this.#trail = init.trail
    this.#limits = init.limits
  }

  /** Takes a request of a peer, the first time or again. */
  submit(work: Work, asker: Asker, request: PeerRequest): HeldRequest | Refusal {
    const { peer } = asker
    const id = toHex(request.id)
    if (!this.#book.isWelcome(peer)) return DENIED
    const before = this.#held(work, peer, id)
    // The hash is over what was sent, so that its sender can make it again; what is held of it may be less.
    const asked = { ...request, ...asker }
    let looked: Looked
    try {
      looked = this.#look(work, asked, before?.expiresAtMs)
    } catch (error) {
      return this.#refuse(work, asker, id, failureOf(error, 'no'))
    }
    if (before !== undefined && toHex(before.requestHash) !== toHex(looked.hash)) {
      return this.#refuse(work, asker, id, CONFLICT)
    }
    const full = before === undefined ? this.#isFull(peer, looked) : undefined
    if (full !== undefined) return this.#refuse(work, asker, id, full)
    const held = before ?? this.#first(work, asker, request, looked)
    const event: RequestEvent = { type: 'claim', standing: looked.decided.standing }
    const transition = step(before?.state, event)
    if (transition === undefined) return DENIED
    // Nothing has happened and nothing can come of it: it is counted, and decided again if it comes again.
    if (before === undefined && transition.state.phase === 'denied') {
      return this.#refuse(work, asker, id, deniedBy(looked), looked)
    }
    if (before !== undefined && transition.state === before.state) {
      if (before.state.phase === 'executed') {
        this.#trail.append(work.tx, work.journal, 'released', { peer, id: request.id })
        // Its receipt is made anew, around the same leaf, by the head of this commit.
        const { answer } = before
        if (answer?.kind === 'done' && answer.leaf !== undefined) work.leaves.push(answer.leaf)
      }
      return before
    }
    return this.#apply(work, held, transition, looked, held.approvedBy ?? [])
  }

  /** Takes in what waited while the vault was locked: decided now, run when its peer comes for it. */
  join(
    work: Work,
    { notes, dropped }: { readonly notes: readonly OpenedNote[]; readonly dropped: number },
  ): void {
    const { tx, journal } = work
    if (notes.length + dropped === 0) return
    this.#trail.append(tx, journal, 'intake', {
      count: notes.length,
      from: notes[0]?.atMs ?? tx.nowMs,
      to: notes.at(-1)?.atMs ?? tx.nowMs,
      ...(dropped === 0 ? {} : { dropped }),
    })
    for (const note of notes) this.#note(work, note)
  }

  #note(work: Work, { asker, id, request, atMs, expiresAtMs }: OpenedNote): void {
    const { peer } = asker
    if (!this.#book.isWelcome(peer) || this.#book.request(peer, id) !== undefined) return
    // What stands in a note is nobody's word: its time is no longer than any other's.
    const untilMs = Math.min(expiresAtMs, work.tx.nowMs + this.#limits.maxTimeoutMs)
    let looked: Looked
    try {
      looked = this.#look(work, { ...request, ...asker }, untilMs)
    } catch (error) {
      this.#refuse(work, asker, id, failureOf(error, 'no'))
      return
    }
    const full = this.#isFull(peer, looked)
    const { standing } = looked.decided
    if (full !== undefined || standing.verdict === 'deny') {
      this.#refuse(work, asker, id, full ?? deniedBy(looked), looked)
      return
    }
    const held = this.#first(work, asker, request, looked, atMs)
    const isOver = work.tx.nowMs >= untilMs
    const transition = step(undefined, isOver ? { type: 'deadline' } : { type: 'note', standing })
    if (transition !== undefined) this.#apply(work, held, transition, looked, [])
  }

  #first(
    work: Work,
    { peer, connection }: Asker,
    request: PeerRequest,
    looked: Looked,
    askedAtMs: number = work.tx.nowMs,
  ): HeldRequest {
    const waits = looked.decided.standing.verdict === 'ask'
    return {
      peer,
      id: toHex(request.id),
      requestHash: looked.hash,
      expiresAtMs: looked.expiresAtMs,
      askedAtMs,
      connection,
      reason: request.reason.slice(0, this.#limits.maxReasonLength),
      receipt: request.receipt,
      // What a person agrees to later is what was hashed now, whatever becomes of memory that was handed in.
      steps: waits ? structuredClone(request.steps) : request.steps,
      state: { phase: 'noted' },
      asked: false,
      touched: looked.reach.touched,
      grantable: looked.reach.cells.every(isGrantable),
      reserved: [],
    }
  }

  /** A person decided. @returns where it is now, or `undefined` where nothing such is pending */
  decide(
    work: Work,
    boundHash: string,
    said: Choice,
    options: { forMs?: number | undefined; by: string },
  ): { held: HeldRequest; rememberedUntilMs?: number } | undefined {
    const choice = choiceOf(said)
    const held = this.#pendingWith(boundHash)
    if (held?.state.phase !== 'pending' || isPast(work, held)) return undefined
    const { ask } = held.state
    const denies = choice === 'deny' || choice === 'deny-and-block'
    const looked = denies ? undefined : this.#lookAgain(work, held)
    const standing = looked?.decided.standing ?? ({ verdict: 'deny' } as const)
    const transition = step(
      held.state,
      denies ? { type: 'deny', boundHash } : { type: 'approve', boundHash, standing },
    )
    if (transition === undefined) return undefined
    const { tx, journal } = work
    const forMs = choice === 'time' ? options.forMs : undefined
    this.#trail.append(tx, journal, 'decision', {
      peer: held.peer,
      id: fromHex(held.id),
      bound: this.#trail.salted(fromHex(boundHash)),
      choice,
      by: options.by,
      rule: ask.rule,
      ...(forMs !== undefined && { for: forMs }),
    })
    const runs = transition.effects.includes('execute') || transition.state.phase === 'approved'
    const rememberedUntilMs =
      runs && forMs !== undefined && looked !== undefined
        ? this.#remember(work, held.peer, looked, ask.rule, forMs)
        : undefined
    const after = this.#apply(work, held, transition, looked, [options.by])
    if (choice === 'deny-and-block') this.block(work, held.peer, true)
    return { held: after, ...(rememberedUntilMs === undefined ? {} : { rememberedUntilMs }) }
  }

  /**
   * Why a person is asked about a request, by the rules of this moment: a sentence for each part of it that is decided by
   * itself, each once. `undefined` where nothing such is pending.
   */
  explain(work: Work, boundHash: string, context: PrintContext): string[] | undefined {
    const held = this.#pendingWith(boundHash)
    if (held === undefined) return undefined
    const { peer } = held
    const { nowMs } = work.tx
    const reach = reachOf(held.steps.map(stepOf), (path) => recordAt(work.tx, path))
    const known = this.#book.isWelcome(peer)
    const tags = this.#book.tagsOf(peer)
    // What it reserved itself must not stand in its own way.
    this.#ledger.release(work, held.reserved)
    const memory = this.#ledger.memory(peer, reach, nowMs)
    const told = reach.cells.map(
      (cell) =>
        explain(this.#book.rules, { peer, known, tags, cells: [cell], nowMs }, memory, context)
          .text,
    )
    this.#ledger.reserve(work, held.reserved)
    return [...new Set(told)]
  }

  /** A peer takes its request back. */
  cancel(work: Work, peer: string, id: string): HeldRequest | undefined {
    const held = this.#held(work, peer, id)
    if (held === undefined) return undefined
    return this.#move(work, held, { type: 'cancel' })
  }

  /**
   * A peer has an answer. What a person agreed to is remembered until its deadline, so that it never runs twice; what a
   * rule allows may run again under any id, so it is forgotten.
   */
  acknowledge(work: Work, peer: string, ids: readonly string[]): void {
    for (const id of ids) {
      const held = this.#book.request(peer, id)
      if (held === undefined || held.answer === undefined) continue
      if (held.asked) this.#move(work, held, { type: 'acknowledge' })
      else this.#book.removeRequest(work.tx, work.journal, held)
    }
  }

  /** Looks again at what is pending: rules, keys or peers have changed. */
  reconsider(work: Work, concerns: (held: HeldRequest) => boolean = () => true): void {
    for (const held of [...this.#book.requests()]) {
      const { phase } = held.state
      if (phase !== 'pending' && phase !== 'approved' && phase !== 'noted') continue
      if (!concerns(held)) continue
      if (isPast(work, held)) {
        this.#move(work, held, { type: 'deadline' })
        continue
      }
      const looked = this.#lookAgain(work, held)
      const standing = looked?.decided.standing ?? ({ verdict: 'deny' } as const)
      this.#move(work, held, { type: 'reconsider', standing }, looked)
    }
  }

  /** Ends what has reached its deadline, forgets what is long over. */
  sweep(work: Work): void {
    this.#ledger.sweep(work)
    this.#book.sweep(work.tx, work.journal)
    for (const held of [...this.#book.requests()]) {
      if (!isPast(work, held)) continue
      if (work.tx.nowMs >= held.expiresAtMs + this.#limits.keepAfterDeadlineMs) {
        this.#book.removeRequest(work.tx, work.journal, held)
      } else this.#move(work, held, { type: 'deadline' })
    }
  }

  /** Blocks or lets in again; what a blocked peer asked for goes, what was granted to it goes. */
  block(work: Work, peer: string, blocked: boolean): void {
    const known = this.#book.peer(peer)
    if (known === undefined || known.blocked === blocked) return
    const { tx, journal } = work
    this.#book.setPeer(tx, journal, peer, { ...known, blocked })
    const change = blocked ? 'blocked' : 'unblocked'
    this.#trail.append(tx, journal, 'peer', { change, peer, name: known.name })
    if (blocked) this.#dismiss(work, peer)
  }

  /** Takes a peer away, with all it asked for and was granted. */
  remove(work: Work, peer: string): void {
    const known = this.#book.peer(peer)
    if (known === undefined) return
    const { tx, journal } = work
    this.#book.setPeer(tx, journal, peer, undefined)
    this.#trail.append(tx, journal, 'peer', { change: 'removed', peer, name: known.name })
    this.#dismiss(work, peer)
  }

  #dismiss(work: Work, peer: string): void {
    this.#ledger.forgetPeer(work, peer)
    this.reconsider(work, (held) => held.peer === peer)
    work.news.push({ type: 'cut', peer })
  }

  // --- Looking

  /** What is held of a request. Its deadline counts from the moment it is reached, not from when somebody looks at it. */
  #held(work: Work, peer: string, id: string): HeldRequest | undefined {
    const held = this.#book.request(peer, id)
    if (held === undefined || !isPast(work, held)) return held
    return this.#move(work, held, { type: 'deadline' }) ?? held
  }

  /** What a request reaches, and what the rules say about it at this moment. */
  #look(
    work: Work,
    asked: Asker & {
      id: Uint8Array
      steps: readonly PeerStep[]
      reason: string
      timeoutMs: number
    },
    expiresAtMs?: number,
  ): Looked {
    const decidedSteps = asked.steps.map(stepOf)
    const chain = this.#vault.read(decidedSteps)
    const reach = this.#reaches.of(decidedSteps, (path) => recordAt(work.tx, path), chain.places)
    const { peer, id, steps, reason, timeoutMs } = asked
    const { formats, footprint } = reach
    const said = { vault: this.#vaultId, peer, id, steps, footprint, formats, reason, timeoutMs }
    // As `requestHash`, of requests that are mostly alike.
    const hash = sha256(this.#requests.encode(said))
    const deadline = expiresAtMs ?? work.tx.nowMs + Math.min(timeoutMs, this.#limits.maxTimeoutMs)
    const decided = this.#decide(work, peer, reach, { requestHash: hash, expiresAtMs: deadline })
    // What is not marked for others is never run for them, whatever a rule says.
    const standing = chain.remote ? decided.standing : ({ verdict: 'deny' } as const)
    return { chain, reach, hash, decided: { ...decided, standing }, expiresAtMs: deadline }
  }

  #decide({ tx: { nowMs } }: Work, peer: string, reach: Reach, request: DecidedRequest): Decided {
    const { rules } = this.#book
    const known = this.#book.isWelcome(peer)
    const tags = this.#book.tagsOf(peer)
    const decision = this.#decisions.of(reach, { rules, peer, known, tags, nowMs }, () =>
      this.#ledger.memory(peer, reach, nowMs),
    )
    return bind(decision, reach, request)
  }

  /** The same for what is held already; `undefined` where it cannot be read any more, which denies. */
  #lookAgain(work: Work, held: HeldRequest): Looked | undefined {
    try {
      const steps = held.steps.map(stepOf)
      const chain = this.#vault.read(steps)
      const reach = reachOf(steps, (path) => recordAt(work.tx, path), chain.places)
      // What it reserved itself must not stand in its own way.
      this.#ledger.release(work, held.reserved)
      const decided = this.#decide(work, held.peer, reach, held)
      this.#ledger.reserve(work, held.reserved)
      return { chain, reach, hash: held.requestHash, decided, expiresAtMs: held.expiresAtMs }
    } catch (error) {
      if (isVaultError(error) && error.code !== 'data_loss') return undefined
      throw error
    }
  }

  // --- Moving

  #move(
    work: Work,
    held: HeldRequest,
    event: RequestEvent,
    looked?: Looked,
  ): HeldRequest | undefined {
    const transition = step(held.state, event)
    if (transition === undefined || transition.state === held.state) return undefined
    return this.#apply(work, held, transition, looked, [])
  }

  #apply(
    work: Work,
    held: HeldRequest,
    { state, effects }: Transition,
    looked: Looked | undefined,
    approvals: readonly string[],
  ): HeldRequest {
    const { tx, journal } = work
    const before = held.state
    if (before.phase === 'pending' && effects.includes('unprompt')) {
      work.news.push({ type: 'unprompt', boundHash: before.ask.boundHash, phase: state.phase })
    }
    this.#ledger.release(work, held.reserved)
    let after: HeldRequest = { ...held, state, reserved: [] }
    if (effects.includes('execute') && looked !== undefined) {
      after = this.#execute(work, after, looked, approvals)
    } else if (state.phase === 'pending') {
      const reserved = looked?.decided.decision.charges.map(({ id }) => id) ?? []
      this.#ledger.reserve(work, reserved)
      after = { ...after, asked: true, reserved, touched: looked?.reach.touched ?? held.touched }
      if (effects.includes('prompt')) this.#write(work, after, looked, 'asked')
    } else {
      after = { ...after, ...ended(state), steps: isOver(state.phase) ? [] : held.steps }
      if (state.phase === 'approved') after = { ...after, approvedBy: approvals }
      if (state.phase !== 'executed') this.#write(work, after, looked, state.phase)
    }
    this.#book.putRequest(tx, journal, after)
    for (const effect of effects) tell(work, effect, after)
    return after
  }

  #execute(
    work: Work,
    held: HeldRequest,
    looked: Looked,
    approvals: readonly string[],
  ): HeldRequest {
    const { tx } = work
    const rules = looked.decided.decision.charges
    let outputs: Record<string, unknown>[]
    try {
      outputs = tx.run(looked.chain)
    } catch (error) {
      const answer = hidden(failureOf(error, 'yes'))
      this.#write(work, held, looked, 'failed', { code: codeOf(error) })
      return { ...held, answer, steps: [] }
    }
    this.#ledger.count(work, rules)
    if (!held.receipt) {
      this.#write(work, held, looked, 'executed')
      return { ...held, answer: { kind: 'done', outputs }, steps: [] }
    }
    const bound = looked.decided.boundHash()
    const result = resultHash(outputs)
    const { facts, salts } = this.#trail.commitments(bound, result)
    const position = this.#write(work, held, looked, 'executed', facts)
    const leaf = encodeLeaf({
      vault: this.#vaultId,
      peer: held.peer,
      id: fromHex(held.id),
      bound,
      result,
      ...salts,
      use: looked.reach.use,
      expiresAtMs: held.expiresAtMs,
      rule: ruleIdOf(looked),
      approvals,
      position,
      at: tx.nowMs,
    })
    work.leaves.push(leaf)
    return { ...held, answer: { kind: 'done', outputs, leaf }, steps: [] }
  }

  /** The one entry about a step of a request. @returns its position */
  #write(
    work: Work,
    held: HeldRequest,
    looked: Looked | undefined,
    outcome: AuditOutcome,
    more: Partial<AuditFacts['request']> = {},
  ): number {
    const rule = looked === undefined ? undefined : ruleIdOf(looked)
    return this.#trail.append(work.tx, work.journal, 'request', {
      peer: held.peer,
      connection: held.connection,
      id: fromHex(held.id),
      use: looked?.reach.use ?? useOf(held.touched),
      ...(looked !== undefined && looked.reach.formats.length > 0
        ? { formats: looked.reach.formats }
        : {}),
      ...(held.reason === '' ? {} : { reason: held.reason }),
      ...(rule === undefined || rule === null ? {} : { rule }),
      outcome,
      ...more,
    })
  }

  /** Says no to what never came as far as a state. */
  #refuse(
    work: Work,
    { peer, connection }: Asker,
    id: string,
    answer: Refusal,
    looked?: Looked,
  ): Refusal {
    const { reason, code } = answer
    const outcome =
      reason === 'conflict' ? 'conflict' : reason === 'denied_by_rule' ? 'denied' : 'failed'
    const rule = looked === undefined ? null : ruleIdOf(looked)
    this.#trail.denial(work.tx, work.journal, {
      peer,
      connection,
      id: fromHex(id),
      use: looked?.reach.use ?? [],
      ...(rule === null ? {} : { rule }),
      outcome,
      code,
    })
    return answer
  }

  #isFull(peer: string, { decided }: Looked): Refusal | undefined {
    const { maxKeptPerPeer, maxKeptBytesPerPeer, maxPendingPerPeer, maxPendingTotal } = this.#limits
    const asks = decided.standing.verdict === 'ask'
    const why =
      this.#book.keptOf(peer) >= maxKeptPerPeer
        ? `${maxKeptPerPeer} answers of this peer are not acknowledged yet`
        : this.#book.keptBytesOf(peer) >= maxKeptBytesPerPeer
          ? `${maxKeptBytesPerPeer} bytes of this peer’s answers are not acknowledged yet`
          : asks && this.#book.pendingOf(peer) >= maxPendingPerPeer
            ? `${maxPendingPerPeer} requests of this peer wait for a person`
            : asks && this.#book.pending >= maxPendingTotal
              ? 'too many requests wait for a person'
              : undefined
    if (why === undefined) return undefined
    const message = `Cannot take request: ${why}`
    return { kind: 'failed', code: 'resource_exhausted', ran: 'no', message }
  }

  #pendingWith(boundHash: string): HeldRequest | undefined {
    for (const held of this.#book.requests()) {
      if (held.state.phase === 'pending' && held.state.ask.boundHash === boundHash) return held
    }
    return undefined
  }

  /** @returns until when, where it is remembered */
  #remember(
    work: Work,
    peer: string,
    looked: Looked,
    asked: string,
    forMs: number,
  ): number | undefined {
    const rule = this.#book.rules.rules.find(({ id }) => id === asked)
    if (rule === undefined) return undefined
    const { cells } = looked.decided.decision
    const grants = this.#ledger.remember(work, peer, looked.reach, { cells, rule, forMs })
    if (typeof grants === 'string') return undefined
    for (const { id } of grants) {
      this.#trail.append(work.tx, work.journal, 'grant', { change: 'made', id, peer })
    }
    return grants[0]?.expiresAtMs
  }
}

/** A step as the vault reads it. @throws `VaultError` later, where the name or version is unknown */
function stepOf({ procedure, version, input }: PeerStep): DecidedStep {
  const found = procedureOf(procedure)
  if (found?.version !== version) {
    throw new UnknownProcedure(`Cannot run ${JSON.stringify(procedure.slice(0, 64))}: unknown`)
  }
  return { procedure: found, input }
}

class UnknownProcedure extends Error {}

/** A denial, with the rule where it is one that tells. */
function deniedBy({ decided }: Looked): Refusal {
  const ground = decided.decision.decidedBy?.ground
  if (ground === undefined || !('rule' in ground) || !ground.rule.tell) return DENIED
  return { ...DENIED, rule: { id: ground.rule.id, note: ground.rule.note } }
}

function recordAt(tx: VaultTransaction, path: string): BoundRecord | undefined {
  return tx.versionAt(path)
}

function failureOf(error: unknown, ran: 'no' | 'yes'): Refusal {
  if (error instanceof UnknownProcedure) {
    return { kind: 'failed', code: 'unimplemented', ran: 'no', message: error.message }
  }
  if (!isVaultError(error)) throw error
  return { kind: 'failed', code: error.code, ran, message: error.message }
}

function codeOf(error: unknown): StatusCode {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return isStatusCode(code) ? code : 'internal'
}

/** What is not there looks like what is not allowed. */
function hidden(answer: Refusal): Refusal {
  return answer.code === 'not_found' ? DENIED : answer
}

function ended(state: HeldRequest['state']): { answer?: KeptAnswer } {
  switch (state.phase) {
    case 'denied':
      return { answer: state.by === 'rule' ? DENIED : DENIED_BY_PERSON }
    case 'expired':
      return { answer: EXPIRED }
    case 'canceled':
      return { answer: CANCELED }
    case 'executed':
      return { answer: ANSWER_GONE }
    case 'pending':
    case 'approved':
    case 'noted':
      return {}
  }
}

function isPast({ tx }: Work, { expiresAtMs }: HeldRequest): boolean {
  return tx.nowMs >= expiresAtMs
}

function isOver(phase: HeldRequest['state']['phase']): boolean {
  return phase !== 'pending' && phase !== 'approved' && phase !== 'noted'
}

function ruleIdOf({ decided }: Looked): string | null {
  const ground = decided.decision.decidedBy?.ground
  return ground !== undefined && 'rule' in ground ? ground.rule.id : null
}

function tell(work: Work, effect: Effect, held: HeldRequest): void {
  if (effect === 'prompt') work.news.push({ type: 'prompt', held })
  if (effect === 'answer') work.news.push({ type: 'answer', held })
}
