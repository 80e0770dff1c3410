/** Rules as sentences for people. Pure; peers are named by whoever hands the names in. */
import { NO_PATH } from '@stronghold/vault/catalog'

import { printPeer, printProcedure } from './parse.ts'
import { isNarrowerThan } from './shadow.ts'
import type { PeerMatch, Rule, Vocabulary } from './rule.ts'
import { printLimit } from './windows.ts'

/** What printing needs to know. */
export interface PrintContext {
  readonly vocabulary: Vocabulary
  /** The owner's name for a peer, or `undefined`. */
  nameOf(peerId: string): string | undefined
}

const VERBS = { allow: 'may', ask: 'may, after a person agreed,', deny: 'may never' } as const

/** One rule as one plain sentence, without its id: `ci may sign under release/** as sshsig, at most 10/day`. */
export function sentence(rule: Rule, context: PrintContext): string {
  const who = rule.peers.map((peer) => printWho(peer, context))
  const what = rule.procedures.map((match) => printProcedure(match, context.vocabulary))
  const where = rule.paths.filter((path) => path !== NO_PATH).map((path) => path.toString())
  const parts = [`${join(who, 'and')} ${VERBS[rule.effect]} use ${join(what, 'and')}`]
  if (where.length > 0) parts.push(` under ${join(where, 'and')}`)
  if (rule.formats !== undefined) parts.push(` as ${join(rule.formats, 'or')}`)
  if (rule.limits.length > 0) {
    const after = rule.whenUsedUp === 'next' ? ', then the next rule decides' : ''
    parts.push(`, at most ${join(rule.limits.map(printLimit), 'and')}${after}`)
  }
  if (rule.expiresAtMs !== undefined) {
    parts.push(`, until ${new Date(rule.expiresAtMs).toISOString().replace('.000Z', 'Z')}`)
  }
  return parts.join('')
}

/**
 * What to tell an owner who adds a rule: its sentence, its position, and the earlier rule that leaves it nothing to
 * decide, where there is one.
 *
 * @param rules - the list with the rule in it
 * @throws `RangeError` for a rule that is not in the list
 */
export function introduce(
  rule: Rule,
  rules: readonly Rule[],
  context: PrintContext,
): { sentence: string; position: number; of: number; shadowedBy: Rule | undefined } {
  const index = rules.indexOf(rule)
  if (index === -1) throw new RangeError(`Cannot introduce rule ${rule.id}: not in the list`)
  return {
    sentence: sentence(rule, context),
    position: index + 1,
    of: rules.length,
    shadowedBy: shadow(rule, rules, context.vocabulary),
  }
}

/** The rule that decides everything that another would, before it: an earlier one, or a denial anywhere. */
function shadow(rule: Rule, rules: readonly Rule[], vocabulary: Vocabulary): Rule | undefined {
  const index = rules.indexOf(rule)
  return rules.find((other, at) => {
    if (other === rule) return false
    const first =
      other.effect === 'deny'
        ? rule.effect !== 'deny' || at < index
        : at < index && rule.effect !== 'deny'
    return first && isNarrowerThan(rule, other, vocabulary)
  })
}

function printWho(peer: PeerMatch, context: PrintContext): string {
  if (peer.kind === 'known') return 'every known peer'
  if (peer.kind === 'tag') return `peers tagged ${peer.tag}`
  return context.nameOf(peer.id) ?? printPeer(peer)
}

function join(words: readonly string[], and: string): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} ${and} ${words.at(-1) ?? ''}`
}
