/** What `sign` and `mac` share of a JWS: the algorithm that goes with a type, and members that a caller expects. */
import { VaultError } from '../errors.ts'
import { JWS_ALGORITHMS } from '../formats/jws.ts'
import type { JwsAlgorithm } from '../formats/jws.ts'

/** The one algorithm of a type. @throws `VaultError` `invalid_argument` for a type without one */
export function jwsAlgorithm(type: string): JwsAlgorithm {
  const found = Object.hasOwn(JWS_ALGORITHMS, type) ? JWS_ALGORITHMS[type] : undefined
  if (found !== undefined) return found
  throw new VaultError('invalid_argument', `Cannot sign JWS: ${type} has no algorithm`)
}

/** Whether a header has all members that a caller names, with the values that he names. */
export function hasMembers(
  header: Readonly<Record<string, unknown>>,
  expected: Readonly<Record<string, unknown>> = {},
): boolean {
  return Object.entries(expected).every(
    ([name, value]) => Object.hasOwn(header, name) && header[name] === value,
  )
}
