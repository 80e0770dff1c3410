/**
 * The words of the firewall and its rules as data: checked and compiled once, exported and restored. It knows
 * peers by their id only, and nothing of connections or of how a decision is reached.
 */
import type { Address, PeerId } from '../identity.ts'

/** What a rule says. */
export type Verdict = 'allow' | 'deny' | 'ask'

/** Who began: the other side is the asker of `inbound` requests and the responder of `outbound` ones. */
export type Direction = 'inbound' | 'outbound'

/** What a rule may know of the connection. */
export interface ConnectionFacts {
  /** The connection's id within this node. */
  readonly id: string
  /** Who dialed. */
  readonly direction: Direction
  /** Where the other side is, as far as the transport tells. */
  readonly remoteAddress: Address
  /** The security channel, as `noise` or `tls`. */
  readonly security: string
  /** Whether a relay carries it. */
  readonly relayed: boolean
}

/** All that a rule, a prompt or a log sees of a request. Body and upload are not among it. */
export interface RequestFacts {
  readonly peer: PeerId
  readonly connection: ConnectionFacts
  /** The protocol's id. */
  readonly protocol: string
  /** The method's name. */
  readonly method: string
  /** What the method's `facts()` made of the validated request; undefined where it has none. */
  readonly facts: Readonly<Record<string, unknown>> | undefined
}

/** A verdict, or a function that gives one at once. One that throws, or gives anything else, denies. */
export type Rule = Verdict | ((request: RequestFacts) => Verdict)

/**
 * The rule of one protocol, in the place of the node's: a verdict, or a function that gives one, at once or later. One that
 * throws, rejects, or gives anything else, denies.
 */
export type ServeRule = AskAnswer | ((request: RequestFacts) => AskAnswer | Promise<AskAnswer>)

/** What `onNewPeer` is told. */
export interface NewPeer {
  readonly peer: PeerId
  /** The connection of the first request that waits. */
  readonly connection: ConnectionFacts
  /** Aborted once nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/** What `onAsk` is told: everything a rule sees. */
export interface AskRequest extends RequestFacts {
  readonly direction: Direction
  /** Aborted once nobody waits for the answer: timed out, canceled, disconnected or decided by a new rule. */
  readonly signal: AbortSignal
}

/** The answer to an ask. */
export type AskAnswer = 'allow' | 'deny'

/** Rules by peer. */
export type PeerRules = Readonly<Record<string, Rule>> | ReadonlyMap<PeerId, Rule>

/** Rules for requests of others. */
export interface InboundInit {
  /** Rules of peers that are known. */
  peers?: PeerRules
  /**
   * Decides, once, on a peer without a rule; the answer stands in the place of a rule until it is forgotten
   * (`maxNewPeerVerdicts`). No answer in `askTimeoutMs`, or none that is a rule: denied, and asked again next time.
   */
  onNewPeer?: (peer: NewPeer) => Rule | Promise<Rule>
  /** For everybody else. Not used where there is an `onNewPeer`. Default `'deny'`. */
  fallback?: Rule
}

/** Rules for requests of our own. */
export interface OutboundInit {
  /** Rules of peers that are known. */
  peers?: PeerRules
  /** For everybody else. Default `'allow'`. */
  fallback?: Rule
}

/** How the firewall begins. Nothing given: nobody may ask us, and we may ask everybody. */
export interface FirewallInit {
  inbound?: InboundInit
  outbound?: OutboundInit
  /** Decides where a rule says `'ask'`. Absent: that is a denial. */
  onAsk?: (request: AskRequest) => AskAnswer | Promise<AskAnswer>
}

/** Rules of one direction, checked. */
export interface Rules {
  readonly peers: ReadonlyMap<PeerId, Rule>
  /** Undefined: nobody said anything. */
  readonly fallback: Rule | undefined
  /** What holds then. */
  readonly otherwise: Verdict
}

/** Rules as JSON. New-peer verdicts are not among them: only what was set is permanent. */
export interface ExportedRules {
  readonly version: 1
  readonly inbound: ExportedDirection
  readonly outbound: ExportedDirection
}

/** Rules of one direction as JSON. */
export interface ExportedDirection {
  readonly peers: Readonly<Record<string, Verdict>>
  readonly fallback?: Verdict
}

/** Reads a peer id, in any of its text forms. @throws where it is none */
export type ParsePeer = (text: string) => PeerId

/** Whether a value is one of the three verdicts. */
export function isVerdict(value: unknown): value is Verdict {
  return value === 'allow' || value === 'deny' || value === 'ask'
}

/** Whether a value is the rule of a protocol, as far as that can be seen. */
export function isServeRule(value: unknown): value is ServeRule {
  return value === 'allow' || value === 'deny' || typeof value === 'function'
}

/** Whether a value is a rule, as far as that can be seen. */
export function isRule(value: unknown): value is Rule {
  return isVerdict(value) || typeof value === 'function'
}

/**
 * Checks the rules of one direction.
 *
 * @throws `TypeError` for what is no rule, and what `parsePeer` throws for what is no peer
 */
export function compileRules(
  init: Pick<InboundInit, 'peers' | 'fallback'>,
  otherwise: Verdict,
  parsePeer: ParsePeer,
): Rules {
  const peers = new Map<PeerId, Rule>()
  const given = init.peers ?? {}
  for (const [peer, rule] of given instanceof Map ? given : Object.entries(given)) {
    peers.set(parsePeer(peer as string), assertRule(rule))
  }
  const fallback = init.fallback === undefined ? undefined : assertRule(init.fallback)
  return { peers, fallback, otherwise }
}

/** @throws `TypeError` */
export function assertRule(rule: unknown): Rule {
  if (isRule(rule)) return rule
  throw new TypeError(
    `Cannot set a rule: ${JSON.stringify(String(rule).slice(0, 64))} is neither allow, deny, ask nor a function`,
  )
}

/**
 * Rules as JSON.
 *
 * @throws `TypeError`, naming peer and direction, for a rule that is a function
 */
export function exportRules(inbound: Rules, outbound: Rules): ExportedRules {
  return {
    version: 1,
    inbound: exportDirection(inbound, 'inbound'),
    outbound: exportDirection(outbound, 'outbound'),
  }
}

function exportDirection(rules: Rules, direction: Direction): ExportedDirection {
  const peers: [PeerId, Verdict][] = []
  for (const [peer, rule] of rules.peers) {
    peers.push([peer, assertVerdict(rule, `the ${direction} rule of ${peer}`)])
  }
  peers.sort(([a], [b]) => (a < b ? -1 : 1))
  const exported: ExportedDirection = { peers: Object.fromEntries(peers) }
  if (rules.fallback === undefined) return exported
  return { ...exported, fallback: assertVerdict(rules.fallback, `the ${direction} fallback`) }
}

function assertVerdict(rule: Rule, what: string): Verdict {
  if (typeof rule === 'string') return rule
  throw new TypeError(`Cannot export the firewall: ${what} is a function`)
}

/**
 * Rules from JSON. Takes all or nothing.
 *
 * @throws `TypeError` for another shape, version or field, and what `parsePeer` throws for what is no peer
 */
export function restoreRules(
  exported: unknown,
  parsePeer: ParsePeer,
): { inbound: Rules; outbound: Rules } {
  const all = fieldsOf(exported, 'the firewall', ['version', 'inbound', 'outbound'])
  if (all['version'] !== 1) throw new TypeError('Cannot restore the firewall: unknown version')
  return {
    inbound: restoreDirection(all['inbound'], 'inbound', 'deny', parsePeer),
    outbound: restoreDirection(all['outbound'], 'outbound', 'allow', parsePeer),
  }
}

function restoreDirection(
  exported: unknown,
  direction: Direction,
  otherwise: Verdict,
  parsePeer: ParsePeer,
): Rules {
  const { peers, fallback } = fieldsOf(exported, direction, ['peers', 'fallback'])
  const rules = Object.entries(fieldsOf(peers, `${direction} peers`))
  for (const rule of [...rules.map(([, rule]) => rule), fallback ?? 'deny']) {
    if (!isVerdict(rule)) {
      throw new TypeError(`Cannot restore the firewall: ${direction} holds what is no verdict`)
    }
  }
  const init: Pick<InboundInit, 'peers' | 'fallback'> = {
    peers: Object.fromEntries(rules) as Record<string, Verdict>,
  }
  if (fallback !== undefined) init.fallback = fallback as Verdict
  return compileRules(init, otherwise, parsePeer)
}

/** The fields of a JSON object, which may have the given names and no others. */
function fieldsOf(
  value: unknown,
  what: string,
  names?: readonly string[],
): Partial<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`Cannot restore the firewall: ${what} is no object`)
  }
  for (const name of Object.keys(value)) {
    if (names?.includes(name) === false) {
      throw new TypeError(
        `Cannot restore the firewall: unknown field ${JSON.stringify(name.slice(0, 64))}`,
      )
    }
  }
  return value
}
