/** Types of records, what they may be used for, and how far something of them may leave. Pure words and their order. */

/** What can stand at a path. `opaque` is secret bytes without a meaning, `seed` what keys are derived from. */
export const RECORD_TYPES = [
  'ed25519',
  'x25519',
  'secp256k1',
  'p256',
  'p384',
  'aes-256-gcm',
  'xchacha20-poly1305',
  'aes-256-kw',
  'hmac-sha2',
  'seed',
  'opaque',
] as const

/** One of the types of records. */
export type RecordType = (typeof RECORD_TYPES)[number]

/** What a record may be used for, besides showing its public half. */
export const USAGES = [
  'agree',
  'copy',
  'decrypt',
  'derive',
  'encrypt',
  'mac',
  'mac-verify',
  'sign',
  'unwrap',
  'wrap',
] as const

/** One use of a record. */
export type Usage = (typeof USAGES)[number]

/**
 * What leaves a record, from nothing to all of it: `public` is meant to be seen (a signature, a public key, a
 * ciphertext), `derived` was computed with the secret and is a secret of its own (a plaintext), `material` is the secret
 * itself, wrapped or not.
 */
export const EGRESS = ['none', 'public', 'derived', 'material'] as const

/** One step of egress. */
export type Egress = (typeof EGRESS)[number]

/** What is fixed when a record is made and only ever narrowed (DESIGN: labels). */
export interface Labels {
  /** What it may be used for, and, for what others are made from, what those may be used for. */
  readonly usage: ReadonlySet<Usage>
  /** The most that ever leaves. */
  readonly egress: Egress
  /** May it go to another Stronghold. */
  readonly sync: boolean
}

/** What makes a key of one family useless for any other: a key that signs never encrypts. */
const OWN_USES: Readonly<Record<RecordType, readonly Usage[]>> = {
  ed25519: ['sign'],
  secp256k1: ['sign'],
  p256: ['sign'],
  p384: ['sign'],
  x25519: ['agree'],
  'aes-256-gcm': ['encrypt', 'decrypt'],
  'xchacha20-poly1305': ['encrypt', 'decrypt'],
  'aes-256-kw': ['wrap', 'unwrap'],
  'hmac-sha2': ['mac', 'mac-verify'],
  seed: ['derive'],
  opaque: ['derive'],
}

/** Types whose use makes other records; their usage set says what those may be used for, too. */
const PARENTS: ReadonlySet<RecordType> = new Set(['seed', 'opaque', 'x25519', 'aes-256-kw'])

/** What a record of this type can be used for itself; `copy` comes with every type. */
export function ownUses(type: RecordType): ReadonlySet<Usage> {
  return new Set<Usage>(['copy', ...OWN_USES[type]])
}

/** The widest usage set that a record of this type may have. */
export function widestUsage(type: RecordType): ReadonlySet<Usage> {
  return PARENTS.has(type) ? new Set(USAGES) : ownUses(type)
}

/** The labels of a new record for which the owner names none: all uses of its type, nothing more leaves than its uses need, no sync. */
export function defaultLabels(type: RecordType): Labels {
  const usage = widestUsage(type)
  return { usage, egress: usage.has('decrypt') ? 'derived' : 'public', sync: false }
}

/** Does an egress stay within a ceiling. */
export function isWithin(egress: Egress, ceiling: Egress): boolean {
  return EGRESS.indexOf(egress) <= EGRESS.indexOf(ceiling)
}

/** What all of several labels allow. Of none: everything. */
export function meet(labels: readonly Labels[]): Labels {
  return labels.reduce<Labels>(
    (all, next) => ({
      usage: new Set([...all.usage].filter((usage) => next.usage.has(usage))),
      egress: isWithin(all.egress, next.egress) ? all.egress : next.egress,
      sync: all.sync && next.sync,
    }),
    { usage: new Set(USAGES), egress: 'material', sync: true },
  )
}

/** Do labels allow nothing that others do not allow. */
export function isNarrower(labels: Labels, than: Labels): boolean {
  return (
    [...labels.usage].every((usage) => than.usage.has(usage)) &&
    isWithin(labels.egress, than.egress) &&
    (than.sync || !labels.sync)
  )
}
