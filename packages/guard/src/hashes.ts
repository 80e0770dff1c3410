/**
 * The hashes that name a request, what an approval of it is bound to, the rule that asked, and what was answered
 * (`docs/approvals.md`): SHA-256, 32 bytes each. It knows nothing of who decides.
 */
import { concat, encode } from '@stronghold/core'

import { boundBytes, requestBytes, ruleBytes } from './hashed.ts'
import type { HashedBinding, HashedRequest } from './hashed.ts'
import type { Rule } from './rules/rule.ts'
import { sha256 } from './sha256.ts'

/** Names what a peer sent: the same id with another hash is a conflict. @throws as `requestBytes` */
export function requestHash(request: HashedRequest): Uint8Array {
  return sha256(requestBytes(request))
}

/** Names a request as it was decided: about these records, these versions, until then. */
export function boundHash(binding: HashedBinding): Uint8Array {
  return sha256(boundBytes(binding))
}

/** Names a rule as it reads. */
export function ruleHash(rule: Rule): Uint8Array {
  return sha256(ruleBytes(rule))
}

/**
 * Names what was answered.
 *
 * @param outputs - of every step what was released of it
 * @throws `TypeError` for outputs that have no deterministic CBOR
 */
export function resultHash(outputs: readonly Readonly<Record<string, unknown>>[]): Uint8Array {
  return sha256(encode(outputs))
}

/** A hash as the audit holds it: it tells nothing until the salt, 16 bytes, is shown. */
export function saltedHash(salt: Uint8Array, hash: Uint8Array): Uint8Array {
  return sha256(concat([salt, hash]))
}
