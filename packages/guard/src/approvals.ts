/**
 * What becomes of one request, as a state machine: pure, every transition in the table of `docs/approvals.md`. It decides
 * nothing itself: what the rules of the moment say comes in with the event, and what has to be done goes out as an effect.
 * It knows neither clocks nor disks; whoever calls it writes the new state before any effect shows outside.
 */

/** What was asked, and what an approval of it is bound to. */
export interface Ask {
  /** Over the request, record ids and key versions, and the deadline (`docs/approvals.md`). 32 bytes as hex. */
  readonly boundHash: string
  /** The rule that asks. */
  readonly rule: string
  /** Over that rule as it reads; 32 bytes as hex. */
  readonly ruleHash: string
}

/** What the rules of the moment say about a request. */
export type Standing =
  | { readonly verdict: 'allow' }
  | { readonly verdict: 'deny' }
  | { readonly verdict: 'ask'; readonly ask: Ask }

/** Where a request is. */
export type RequestState =
  /** A person is asked. */
  | { readonly phase: 'pending'; readonly ask: Ask; readonly claimed: boolean }
  /** A person agreed while the request was only a note; it runs when its peer comes for it. */
  | { readonly phase: 'approved'; readonly ask: Ask }
  /** The rules allow what is only a note so far; it runs when its peer comes for it. */
  | { readonly phase: 'noted' }
  /** It ran, well or not; the answer is kept until it was acknowledged. */
  | { readonly phase: 'executed'; readonly answer: 'kept' | 'gone' }
  | { readonly phase: 'denied'; readonly by: 'rule' | 'person' }
  | { readonly phase: 'expired' }
  | { readonly phase: 'canceled' }

/** What happens to a request. */
export type RequestEvent =
  /** It arrived, or arrived again, over a connection of its peer's. */
  | { readonly type: 'claim'; readonly standing: Standing }
  /** It arrived as a note while the vault was locked, and is looked at after unlock. */
  | { readonly type: 'note'; readonly standing: Standing }
  /** A person agreed to what has this hash. */
  | { readonly type: 'approve'; readonly boundHash: string; readonly standing: Standing }
  | { readonly type: 'deny'; readonly boundHash: string }
  /** Rules, grants or keys changed, or the peer lost its standing. */
  | { readonly type: 'reconsider'; readonly standing: Standing }
  | { readonly type: 'cancel' }
  | { readonly type: 'deadline' }
  | { readonly type: 'acknowledge' }

/** What has to be done, in this order, once the new state is durable. */
export type Effect =
  /** Carry it out, in the same transaction as the state. */
  | 'execute'
  /** Show it to a person. */
  | 'prompt'
  /** Nobody need look at it any more. */
  | 'unprompt'
  /** Tell whoever waits for it. */
  | 'answer'

/** What an event leads to. */
export interface Transition {
  readonly state: RequestState
  readonly effects: readonly Effect[]
}

/** A request that ends takes its prompt along and is answered. */
const END: readonly Effect[] = ['unprompt', 'answer']
const DONE: RequestState = { phase: 'executed', answer: 'kept' }

/**
 * The state after an event, or `undefined` where the event means nothing here: an approval of something else, or of what
 * has ended already. `from` is `undefined` for a request that was never seen.
 */
export function step(from: RequestState | undefined, event: RequestEvent): Transition | undefined {
  if (from === undefined) return first(event)
  switch (from.phase) {
    case 'pending':
      return whilePending(from, event)
    case 'approved':
    case 'noted':
      return whileNoted(from, event)
    case 'executed':
      if (event.type === 'claim') return { state: from, effects: ['answer'] }
      if (event.type === 'acknowledge' && from.answer === 'kept') {
        return { state: { phase: 'executed', answer: 'gone' }, effects: [] }
      }
      return undefined
    case 'denied':
    case 'expired':
    case 'canceled':
      return event.type === 'claim' ? { state: from, effects: ['answer'] } : undefined
  }
}

function first(event: RequestEvent): Transition | undefined {
  // A note whose time was over before anybody looked at it.
  if (event.type === 'deadline') return { state: { phase: 'expired' }, effects: [] }
  if (event.type !== 'claim' && event.type !== 'note') return undefined
  const claimed = event.type === 'claim'
  switch (event.standing.verdict) {
    case 'deny':
      return { state: { phase: 'denied', by: 'rule' }, effects: claimed ? ['answer'] : [] }
    case 'allow':
      return claimed
        ? { state: DONE, effects: ['execute', 'answer'] }
        : { state: { phase: 'noted' }, effects: [] }
    case 'ask': {
      const state = { phase: 'pending', ask: event.standing.ask, claimed } as const
      return { state, effects: claimed ? ['prompt', 'answer'] : ['prompt'] }
    }
  }
}

function whilePending(
  from: RequestState & { phase: 'pending' },
  event: RequestEvent,
): Transition | undefined {
  switch (event.type) {
    case 'claim':
      return { state: { ...from, claimed: true }, effects: ['answer'] }
    case 'note':
    case 'acknowledge':
      return undefined
    case 'approve':
      if (event.boundHash !== from.ask.boundHash) return undefined
      return agreed(from, event.standing)
    case 'deny':
      if (event.boundHash !== from.ask.boundHash) return undefined
      return { state: { phase: 'denied', by: 'person' }, effects: END }
    case 'reconsider':
      return reconsidered(from, event.standing)
    case 'cancel':
      return { state: { phase: 'canceled' }, effects: END }
    case 'deadline':
      return { state: { phase: 'expired' }, effects: END }
  }
}

/** A person agreed; what the rules say at this moment counts, not what they said when the question was asked. */
function agreed(from: RequestState & { phase: 'pending' }, standing: Standing): Transition {
  if (standing.verdict === 'deny') return { state: { phase: 'denied', by: 'rule' }, effects: END }
  if (standing.verdict === 'ask' && !isSame(standing.ask, from.ask)) {
    return { state: { ...from, ask: standing.ask }, effects: ['unprompt', 'prompt'] }
  }
  return from.claimed
    ? { state: DONE, effects: ['execute', ...END] }
    : { state: { phase: 'approved', ask: from.ask }, effects: ['unprompt'] }
}

function reconsidered(from: RequestState & { phase: 'pending' }, standing: Standing): Transition {
  switch (standing.verdict) {
    case 'deny':
      return { state: { phase: 'denied', by: 'rule' }, effects: END }
    case 'allow':
      return from.claimed
        ? { state: DONE, effects: ['execute', ...END] }
        : { state: { phase: 'noted' }, effects: ['unprompt'] }
    case 'ask':
      return isSame(standing.ask, from.ask)
        ? { state: from, effects: [] }
        : { state: { ...from, ask: standing.ask }, effects: ['unprompt', 'prompt'] }
  }
}

/** Nothing runs for a note: its peer has to come for it, and then the rules of that moment count. */
function whileNoted(
  from: RequestState & { phase: 'approved' | 'noted' },
  event: RequestEvent,
): Transition | undefined {
  switch (event.type) {
    case 'claim': {
      const { standing } = event
      if (standing.verdict === 'deny')
        return { state: { phase: 'denied', by: 'rule' }, effects: ['answer'] }
      const agreedTo = from.phase === 'approved' ? from.ask : undefined
      if (
        standing.verdict === 'ask' &&
        !(agreedTo !== undefined && isSame(standing.ask, agreedTo))
      ) {
        const state = { phase: 'pending', ask: standing.ask, claimed: true } as const
        return { state, effects: ['prompt', 'answer'] }
      }
      return { state: DONE, effects: ['execute', 'answer'] }
    }
    case 'cancel':
      return { state: { phase: 'canceled' }, effects: ['answer'] }
    case 'deadline':
      return { state: { phase: 'expired' }, effects: ['answer'] }
    case 'reconsider':
      return event.standing.verdict === 'deny'
        ? { state: { phase: 'denied', by: 'rule' }, effects: ['answer'] }
        : undefined
    case 'note':
    case 'approve':
    case 'deny':
    case 'acknowledge':
      return undefined
  }
}

/** The same question: about the same bytes, keys and deadline, asked by the same rule as it read then. */
function isSame(a: Ask, b: Ask): boolean {
  return a.boundHash === b.boundHash && a.rule === b.rule && a.ruleHash === b.ruleHash
}
