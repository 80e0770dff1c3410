/** Whether one rule leaves another nothing to decide. Pure; says so only where it is certain. */
import type { Pattern } from '@stronghold/core'
import { BLIND_FORMATS, NO_PATH } from '@stronghold/vault/catalog'

import type { PeerMatch, Rule, Vocabulary } from './rule.ts'

/**
 * Is all that a rule matches matched by another, always: the other has no limit that passes it over and does not end
 * earlier. False where it is not certain.
 */
export function isNarrowerThan(
  rule: Rule,
  other: Rule,
  { hasFormats }: Pick<Vocabulary, 'hasFormats'>,
): boolean {
  if (other.limits.length > 0 && other.whenUsedUp === 'next') return false
  if (other.expiresAtMs !== undefined && other.expiresAtMs < (rule.expiresAtMs ?? Infinity))
    return false
  return (
    rule.peers.every((peer) => other.peers.some((one) => holdsPeer(one, peer))) &&
    rule.procedures.every(({ procedure, role }) =>
      other.procedures.some((one) => one.procedure === procedure && one.role === role),
    ) &&
    rule.paths.every((path) => other.paths.some((one) => holdsPattern(one, path))) &&
    (holdsFormats(other, rule) || !rule.procedures.some((one) => hasFormats(one.procedure)))
  )
}

function holdsPeer(wide: PeerMatch, narrow: PeerMatch): boolean {
  if (wide.kind === 'known') return true
  if (wide.kind === 'tag') return narrow.kind === 'tag' && narrow.tag === wide.tag
  return narrow.kind === 'peer' && narrow.id === wide.id
}

/** Does a pattern hold every path of another. */
export function holdsPattern(
  wide: Pattern | typeof NO_PATH,
  narrow: Pattern | typeof NO_PATH,
): boolean {
  if (wide === NO_PATH || narrow === NO_PATH) return wide === narrow
  const wideSegments = wide.text.split('/')
  const narrowSegments = narrow.text.split('/')
  for (const [index, segment] of wideSegments.entries()) {
    const other = narrowSegments[index]
    // `**` is one or more: whatever stands here in the other is one, and may be more.
    if (segment === '**') return other !== undefined
    if (other === undefined || other === '**') return false
    if (segment !== '*' && segment !== other) return false
  }
  return narrowSegments.length === wideSegments.length
}

function holdsFormats(wide: Rule, narrow: Rule): boolean {
  if (wide.formats === undefined) {
    if (wide.effect !== 'allow') return true
    // All structured ones: enough where the other names none that is blind.
    return narrow.formats === undefined
      ? narrow.effect === 'allow'
      : narrow.formats.every((format) => !BLIND_FORMATS.has(format))
  }
  const named = wide.formats
  return (
    narrow.formats?.every((format) =>
      named.some((one) => one === format || one === format.split(':', 1)[0]),
    ) ?? false
  )
}
