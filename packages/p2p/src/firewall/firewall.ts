/**
 * The firewall at run time: rules that may change under way, first contact, asks. It answers at once unless
 * somebody has to be asked, and every request that waits gets exactly one answer. It knows nothing of frames
 * or connections; time, blocks and the reading of peer ids are handed in.
 */
import type { Clock } from '../clock.ts'
import type { PeerId } from '../identity.ts'
import { Asks } from './asks.ts'
import type { AskFailure, AskLimits, AskOptions, Place, Waiting } from './asks.ts'
import { decide, decideProtocol, decisionOf } from './decide.ts'
import type { DecidedBy, Decision } from './decide.ts'
import { assertRule, compileRules, exportRules, isRule, restoreRules } from './rules.ts'
import type {
  AskAnswer,
  Direction,
  ExportedRules,
  FirewallInit,
  ParsePeer,
  RequestFacts,
  Rule,
  Rules,
  ServeRule,
  Verdict,
} from './rules.ts'

/** How an ask ended: answered; nobody there to ask; no place free; time out; given up; thrown or junk. */
export type AskEnd = 'answered' | 'nobody' | 'full' | AskFailure | 'failed'

/** The end of the matter. */
export interface FinalDecision extends Decision<AskAnswer> {
  /** Set where somebody had to be asked, by `'ask'` or on first contact, and no rule came in between. */
  readonly asked?: AskEnd
}

/** Rules at run time. What is set takes effect at once, for requests that wait as well. */
export interface FirewallControl {
  /**
   * Sets the rule of a peer, or the fallback. The rule stays until it is deleted.
   *
   * @throws `TypeError` for what is no rule, `SyntaxError` for what is no peer
   */
  set(direction: Direction, peer: PeerId | 'fallback', rule: Rule): void
  /** The rule that was set or given for a peer, or as fallback. What `onNewPeer` said is not among them. */
  get(direction: Direction, peer: PeerId | 'fallback'): Rule | undefined
  /** Forgets a rule, and what `onNewPeer` said of that peer. True where there was something to forget. */
  delete(direction: Direction, peer: PeerId | 'fallback'): boolean
  /**
   * All rules as JSON, without what `onNewPeer` said.
   *
   * @throws `TypeError` for a rule that is a function
   */
  export(): ExportedRules
  /**
   * Replaces all rules by exported ones, or none where they are not valid.
   *
   * @throws `TypeError` for another shape, `SyntaxError` for what is no peer
   */
  restore(exported: unknown): void
}

/** What the firewall needs of the rest of the node. */
export interface FirewallSeams {
  readonly clock: Clock
  readonly limits: AskLimits & { readonly maxNewPeerVerdicts: number }
  readonly parsePeer: ParsePeer
  /** Blocked peers are denied before any rule. Default: none is. */
  readonly isBlocked?: (peer: PeerId) => boolean
}

interface Side extends Rules {
  readonly direction: Direction
  peers: Map<PeerId, Rule>
  fallback: Rule | undefined
  /** Requests that wait, apart for each direction: the ones of others never take the place of ours. */
  readonly asks: Asks<Pending>
}

/** One call of `onNewPeer`, for all requests of that peer that wait for it. */
interface FirstContact {
  readonly peer: PeerId
  readonly controller: AbortController
  readonly untilMs: number
  readonly waiting: Set<Pending>
}

/** See the interfaces for what it does; the node makes one. */
export class Firewall implements FirewallControl {
  readonly #inbound: Side
  readonly #outbound: Side
  readonly #onNewPeer: NonNullable<FirewallInit['inbound']>['onNewPeer']
  readonly #onAsk: FirewallInit['onAsk']
  readonly #seams: FirewallSeams
  readonly #isBlocked: (peer: PeerId) => boolean
  readonly #contacts = new Map<PeerId, FirstContact>()
  readonly #newPeers: RecentRules
  #closed = false

  /** @throws `TypeError` for an unknown key or what is no rule, `SyntaxError` for what is no peer */
  constructor(init: FirewallInit, seams: FirewallSeams) {
    assertInit(init)
    this.#seams = seams
    this.#isBlocked = seams.isBlocked ?? (() => false)
    this.#onNewPeer = init.inbound?.onNewPeer
    this.#onAsk = init.onAsk
    this.#newPeers = new RecentRules(seams.limits.maxNewPeerVerdicts)
    const side = (direction: Direction, otherwise: Verdict): Side => {
      const rules = compileRules(init[direction] ?? {}, otherwise, seams.parsePeer)
      const asks = new Asks<Pending>(seams.limits, seams.clock)
      return { ...rules, peers: new Map(rules.peers), direction, asks }
    }
    this.#inbound = side('inbound', 'deny')
    this.#outbound = side('outbound', 'allow')
  }

  /** Requests that wait for somebody's answer. */
  get waiting(): number {
    return this.#inbound.asks.size + this.#outbound.asks.size
  }

  /**
   * Decides on a request of another peer. Answers at once where nobody has to be asked. Never throws, never
   * rejects. `options` is read only when the request has to wait.
   */
  inbound(request: RequestFacts, options?: AskOptions): FinalDecision | Promise<FinalDecision> {
    return this.#request(this.#inbound, request, options)
  }

  /** Decides on a request of our own, in the same way. */
  outbound(request: RequestFacts, options?: AskOptions): FinalDecision | Promise<FinalDecision> {
    return this.#request(this.#outbound, request, options)
  }

  /**
   * Decides on a request by the rule of its protocol, in the place of ours: of peers it is told all alike, but one that is
   * blocked is denied unasked, and when the answer comes, too. Never throws, never rejects.
   */
  byProtocol(rule: ServeRule, request: RequestFacts): FinalDecision | Promise<FinalDecision> {
    const final = (verdict: unknown): FinalDecision => {
      if (this.#isBlocked(request.peer)) return denied('block')
      return verdict === 'allow' ? ALLOWED_BY_PROTOCOL : denied('protocol')
    }
    if (typeof rule === 'string' || this.#isBlocked(request.peer)) return final(rule)
    let decided: FinalDecision | undefined
    let tell: ((final: FinalDecision) => void) | undefined
    called(
      () => rule(request),
      (verdict) => {
        decided = final(verdict)
        tell?.(decided)
      },
    )
    return (
      decided ??
      new Promise((resolve) => {
        tell = resolve
      })
    )
  }

  /**
   * The first look, by peer alone: `'deny'` means that no protocol is offered to it (inbound) or opened with it
   * (outbound). Everything else waits for the request.
   *
   * @param own - the rule of the protocol that is asked for, where it has one
   */
  firstLook(direction: Direction, peer: PeerId, own?: ServeRule): Decision {
    if (this.#isBlocked(peer)) return decisionOf('deny', 'block')
    if (own !== undefined) return decisionOf(typeof own === 'string' ? own : 'ask', 'protocol')
    const side = this.#side(direction)
    const newPeer = this.#meets(side, peer) ? (this.#newPeers.get(peer) ?? 'ask') : undefined
    return decideProtocol(side, peer, newPeer)
  }

  set(direction: Direction, peer: PeerId | 'fallback', rule: Rule): void {
    const side = this.#side(direction)
    assertRule(rule)
    if (peer === 'fallback') side.fallback = rule
    else {
      const parsed = this.#seams.parsePeer(peer)
      side.peers.set(parsed, rule)
      if (side === this.#inbound) this.#newPeers.delete(parsed)
    }
    this.#recheck(side, peer)
  }

  get(direction: Direction, peer: PeerId | 'fallback'): Rule | undefined {
    const side = this.#side(direction)
    return peer === 'fallback' ? side.fallback : side.peers.get(this.#seams.parsePeer(peer))
  }

  delete(direction: Direction, peer: PeerId | 'fallback'): boolean {
    const side = this.#side(direction)
    let found: boolean
    if (peer === 'fallback') {
      found = side.fallback !== undefined
      side.fallback = undefined
    } else {
      const parsed = this.#seams.parsePeer(peer)
      found = side.peers.delete(parsed)
      if (side === this.#inbound) found = this.#newPeers.delete(parsed) || found
    }
    this.#recheck(side, peer)
    return found
  }

  export(): ExportedRules {
    return exportRules(this.#inbound, this.#outbound)
  }

  restore(exported: unknown): void {
    const rules = restoreRules(exported, this.#seams.parsePeer)
    for (const side of [this.#inbound, this.#outbound]) {
      side.peers = new Map(rules[side.direction].peers)
      side.fallback = rules[side.direction].fallback
    }
    for (const peer of this.#inbound.peers.keys()) this.#newPeers.delete(peer)
    this.recheck()
  }

  /** Looks again at the requests that wait, of one peer or of all: after a block, for example. */
  recheck(peer?: PeerId): void {
    for (const side of [this.#inbound, this.#outbound]) this.#recheck(side, peer)
  }

  /** Denies whatever waits, and whatever would have to wait from now on. Idempotent. */
  close(): void {
    this.#closed = true
    const reason = new DOMException('the node stops', 'AbortError')
    this.#inbound.asks.close(reason)
    this.#outbound.asks.close(reason)
  }

  #side(direction: Direction): Side {
    if (direction === 'inbound') return this.#inbound
    if (direction === 'outbound') return this.#outbound
    throw new TypeError('Cannot set a rule: the direction is neither inbound nor outbound')
  }

  #request(
    side: Side,
    request: RequestFacts,
    options: AskOptions | undefined,
  ): FinalDecision | Promise<FinalDecision> {
    const decision = this.#look(side, request)
    if (decision !== undefined && isFinal(decision)) return decision
    const by = decision?.by ?? 'new-peer'
    if (this.#closed) return denied(by, 'canceled')
    const pending: Pending = new Pending(side, request, by, (failure, reason) => {
      this.#finish(pending, denied(pending.by, failure), reason)
    })
    const place = side.asks.enter(pending, options ?? {})
    if (typeof place === 'string') return denied(by, place)
    pending.place = place
    this.#advance(pending, decision)
    return pending.settled ?? pending.promise()
  }

  /** What the rules say now; undefined on first contact. */
  #look(side: Side, request: RequestFacts): Decision | undefined {
    const { peer } = request
    if (this.#isBlocked(peer)) return decisionOf('deny', 'block')
    if (!this.#meets(side, peer)) return decide(side, request)
    const newPeer = this.#newPeers.get(peer)
    return newPeer === undefined ? undefined : decide(side, request, newPeer)
  }

  /** Whether `onNewPeer` speaks for this peer. */
  #meets(side: Side, peer: PeerId): boolean {
    return side === this.#inbound && this.#onNewPeer !== undefined && !side.peers.has(peer)
  }

  #recheck(side: Side, peer: PeerId | 'fallback' | undefined): void {
    const some = peer === undefined || peer === 'fallback'
    for (const pending of side.asks.waiting(some ? undefined : this.#seams.parsePeer(peer))) {
      if (pending.settled !== undefined) continue
      if (peer === 'fallback' && pending.by !== 'fallback' && pending.by !== 'default') continue
      this.#advance(pending, this.#look(side, pending.request))
    }
  }

  /** Takes a pending request to where a decision leads it. */
  #advance(pending: Pending, decision: Decision | undefined): void {
    if (pending.settled !== undefined) return
    pending.by = decision?.by ?? 'new-peer'
    if (decision === undefined) this.#meet(pending)
    else if (isFinal(decision)) this.#finish(pending, decision, ruled())
    else this.#ask(pending)
  }

  #meet(pending: Pending): void {
    if (pending.contact !== undefined) return
    this.#quit(pending, ruled())
    const { peer, connection } = pending.request
    const open = this.#contacts.get(peer)
    const untilMs = this.#seams.clock.nowMs() + this.#seams.limits.askTimeoutMs
    const contact = open ?? {
      peer,
      controller: new AbortController(),
      untilMs,
      waiting: new Set(),
    }
    contact.waiting.add(pending)
    pending.contact = contact
    pending.place?.restart(contact.untilMs)
    if (open !== undefined) return
    this.#contacts.set(peer, contact)
    const { signal } = contact.controller
    called(
      () => this.#onNewPeer?.({ peer, connection, signal }),
      (answer) => {
        this.#met(contact, answer)
      },
    )
  }

  #met(contact: FirstContact, answer: unknown): void {
    if (this.#contacts.get(contact.peer) !== contact) return
    this.#contacts.delete(contact.peer)
    const waiting = [...contact.waiting]
    contact.waiting.clear()
    for (const pending of waiting) pending.contact = undefined
    if (isRule(answer)) {
      this.#newPeers.set(contact.peer, answer)
      for (const pending of waiting) {
        this.#advance(pending, this.#look(this.#inbound, pending.request))
      }
    } else {
      for (const pending of waiting) this.#finish(pending, denied('new-peer', 'failed'))
    }
  }

  #ask(pending: Pending): void {
    if (pending.asking !== undefined) return
    this.#quit(pending, ruled())
    const onAsk = this.#onAsk
    if (onAsk === undefined) {
      this.#finish(pending, denied(pending.by, 'nobody'))
      return
    }
    const asking = new AbortController()
    pending.asking = asking
    pending.place?.restart()
    const { peer, connection, protocol, method, facts } = pending.request
    const { direction } = pending.side
    const { signal } = asking
    called(
      () => onAsk({ peer, connection, protocol, method, facts, direction, signal }),
      (answer) => {
        if (pending.asking !== asking) return
        pending.asking = undefined
        if (this.#isBlocked(peer)) this.#finish(pending, denied('block'))
        else if (answer === 'allow' || answer === 'deny') {
          this.#finish(pending, { verdict: answer, by: pending.by, asked: 'answered' })
        } else this.#finish(pending, denied(pending.by, 'failed'))
      },
    )
  }

  /** Settles, once. State first, then calls to the outside: an abort listener may change rules. */
  #finish(pending: Pending, final: FinalDecision, reason?: unknown): void {
    if (pending.settled !== undefined) return
    pending.settled = final
    pending.place?.leave()
    pending.settle?.(final)
    this.#quit(pending, reason)
  }

  /** Stops asking for this request; the others of a first contact may still wait. */
  #quit(pending: Pending, reason: unknown): void {
    const { asking, contact } = pending
    pending.asking = undefined
    pending.contact = undefined
    asking?.abort(reason)
    if (contact?.waiting.delete(pending) === true && contact.waiting.size === 0) {
      if (this.#contacts.get(contact.peer) === contact) this.#contacts.delete(contact.peer)
      contact.controller.abort(reason)
    }
  }
}

/** A request that waits: on first contact for `onNewPeer`, else for `onAsk`. */
class Pending implements Waiting {
  readonly side: Side
  readonly request: RequestFacts
  readonly expire: (failure: AskFailure, reason: unknown) => void
  by: DecidedBy
  place: Place | undefined
  contact: FirstContact | undefined
  asking: AbortController | undefined
  settled: FinalDecision | undefined
  settle: ((final: FinalDecision) => void) | undefined

  constructor(
    side: Side,
    request: RequestFacts,
    by: DecidedBy,
    expire: (failure: AskFailure, reason: unknown) => void,
  ) {
    this.side = side
    this.request = request
    this.by = by
    this.expire = expire
  }

  get peer(): PeerId {
    return this.request.peer
  }

  promise(): Promise<FinalDecision> {
    return new Promise((resolve) => {
      this.settle = resolve
    })
  }
}

/** Rules by peer, the least recently used forgotten. */
class RecentRules {
  readonly #max: number
  readonly #rules = new Map<PeerId, Rule>()
  #latest: PeerId | undefined

  constructor(max: number) {
    this.#max = max
  }

  get(peer: PeerId): Rule | undefined {
    const rule = this.#rules.get(peer)
    // A busy peer stands last already; moving it for every request would cost more than deciding.
    if (rule !== undefined && peer !== this.#latest) this.set(peer, rule)
    return rule
  }

  set(peer: PeerId, rule: Rule): void {
    this.#rules.delete(peer)
    this.#rules.set(peer, rule)
    this.#latest = peer
    if (this.#rules.size > this.#max) {
      for (const oldest of this.#rules.keys()) {
        this.#rules.delete(oldest)
        break
      }
    }
  }

  delete(peer: PeerId): boolean {
    return this.#rules.delete(peer)
  }
}

function isFinal(decision: Decision): decision is Decision<AskAnswer> {
  return decision.verdict !== 'ask'
}

const ALLOWED_BY_PROTOCOL: FinalDecision = Object.freeze({ verdict: 'allow', by: 'protocol' })

function denied(by: DecidedBy, asked?: AskEnd): FinalDecision {
  return asked === undefined ? { verdict: 'deny', by } : { verdict: 'deny', by, asked }
}

function ruled(): DOMException {
  return new DOMException('a rule decided meanwhile', 'AbortError')
}

/** Calls the application and hands on what it answers, at once or later; undefined where it throws or rejects. */
function called(ask: () => unknown, answered: (answer: unknown) => void): void {
  let answer: unknown
  try {
    answer = ask()
  } catch {
    answer = undefined
  }
  if (typeof answer !== 'object' || answer === null) {
    answered(answer)
    return
  }
  // Inside a then-callback, also the look at a hostile object's `then` cannot throw at us.
  Promise.resolve()
    .then(() => answer)
    .then(answered, () => {
      answered(undefined)
    })
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  firewall: ['inbound', 'outbound', 'onAsk'],
  inbound: ['peers', 'onNewPeer', 'fallback'],
  outbound: ['peers', 'fallback'],
}

function assertInit(init: FirewallInit): void {
  const parts = { firewall: init, inbound: init.inbound, outbound: init.outbound }
  for (const [part, value] of Object.entries(parts)) {
    for (const key of Object.keys(value ?? {})) {
      if (KEYS[part]?.includes(key) !== true) {
        throw new TypeError(
          `Cannot set up the firewall: unknown key ${JSON.stringify(key.slice(0, 64))} in ${part}`,
        )
      }
    }
  }
  for (const [name, call] of [
    ['onAsk', init.onAsk],
    ['onNewPeer', init.inbound?.onNewPeer],
  ] as const) {
    if (call !== undefined && typeof call !== 'function') {
      throw new TypeError(`Cannot set up the firewall: ${name} is no function`)
    }
  }
}
