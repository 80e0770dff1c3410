/** Which security channels a node speaks, and in which order. */
import { tlsRuntime } from '#runtime'

import type { Clock } from './clock.ts'
import { createNoise } from './connection/noise.ts'
import type { Security } from './connection/security.ts'
import { createTls } from './connection/tls.ts'
import type { P2pLimits } from './limits.ts'
import type { Identity } from './open-identity.ts'

/** A security channel by name. */
export type SecurityName = 'noise' | 'tls'

/** What security channels are made from. */
export interface SecuritiesInit {
  identity: Identity
  clock: Clock
  limits: P2pLimits
}

/**
 * The channels asked for, in order of preference. Default: Noise, then TLS where the platform has it.
 *
 * @throws `RangeError` for none or one twice, `TypeError` for an unknown one or one that the platform does not have
 */
export function securitiesOf(
  names: readonly SecurityName[] | undefined,
  { identity, clock, limits }: SecuritiesInit,
): Security[] {
  const hasTls = tlsRuntime.available
  const chosen = names ?? (hasTls ? ['noise', 'tls'] : ['noise'])
  if (chosen.length === 0 || new Set(chosen).size !== chosen.length) {
    throw new RangeError('Cannot create a node: security names no channel, or one twice')
  }
  return chosen.map((name: string) => {
    if (name === 'noise') return createNoise({ identity })
    if (name === 'tls' && hasTls) return createTls({ identity, clock, limits })
    throw new TypeError(`Cannot create a node: there is no security channel ${name.slice(0, 64)}`)
  })
}
