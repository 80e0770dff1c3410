/**
 * The decision itself: rules and a request in, a verdict out. Total, at once, never throws; it knows nothing of
 * asks, which begin where this says `'ask'`.
 */
import type { PeerId } from '../identity.ts'
import { isVerdict } from './rules.ts'
import type { RequestFacts, Rule, Rules, Verdict } from './rules.ts'

/**
 * What decided: a block, the protocol's own rule, the peer's, the answer of `onNewPeer`, the fallback, or nobody, so the
 * default (inbound deny, outbound allow).
 */
export type DecidedBy = 'block' | 'protocol' | 'peer' | 'new-peer' | 'fallback' | 'default'

/** A verdict and where it comes from. */
export interface Decision<V extends Verdict = Verdict> {
  readonly verdict: V
  readonly by: DecidedBy
}

// One object for each outcome: deciding allocates nothing.
const DECISIONS: Readonly<Record<DecidedBy, Readonly<Record<Verdict, Decision>>>> = {
  block: outcomes('block'),
  protocol: outcomes('protocol'),
  peer: outcomes('peer'),
  'new-peer': outcomes('new-peer'),
  fallback: outcomes('fallback'),
  default: outcomes('default'),
}

function outcomes(by: DecidedBy): Readonly<Record<Verdict, Decision>> {
  return {
    allow: Object.freeze({ verdict: 'allow', by }),
    deny: Object.freeze({ verdict: 'deny', by }),
    ask: Object.freeze({ verdict: 'ask', by }),
  }
}

/** The decision with that verdict and origin. */
export function decisionOf(verdict: Verdict, by: DecidedBy): Decision {
  return DECISIONS[by][verdict]
}

/**
 * Decides on one request: the peer's rule, else what `onNewPeer` said of it, else the fallback.
 *
 * @param newPeer - what `onNewPeer` said of this peer, where it did
 */
export function decide(rules: Rules, request: RequestFacts, newPeer?: Rule): Decision {
  const own = rules.peers.get(request.peer)
  if (own !== undefined) return DECISIONS.peer[check(own, request)]
  if (newPeer !== undefined) return DECISIONS['new-peer'][check(newPeer, request)]
  if (rules.fallback !== undefined) return DECISIONS.fallback[check(rules.fallback, request)]
  return DECISIONS.default[rules.otherwise]
}

/**
 * The first look, by peer alone, when a protocol is opened. A function needs the request, so it counts as
 * `'ask'` here: only a plain `'deny'` is final.
 */
export function decideProtocol(rules: Rules, peer: PeerId, newPeer?: Rule): Decision {
  const own = rules.peers.get(peer)
  if (own !== undefined) return DECISIONS.peer[plain(own)]
  if (newPeer !== undefined) return DECISIONS['new-peer'][plain(newPeer)]
  if (rules.fallback !== undefined) return DECISIONS.fallback[plain(rules.fallback)]
  return DECISIONS.default[rules.otherwise]
}

function plain(rule: Rule): Verdict {
  return typeof rule === 'string' ? rule : 'ask'
}

function check(rule: Rule, request: RequestFacts): Verdict {
  if (typeof rule === 'string') return rule
  try {
    const answer: unknown = rule(request)
    if (isVerdict(answer)) return answer
    // An async predicate denies. Its rejection, unheard, would end the process.
    if (typeof answer === 'object') Promise.resolve(answer).catch(() => undefined)
  } catch {
    // denied
  }
  return 'deny'
}
