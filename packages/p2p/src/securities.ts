/** Which security channels a node speaks, and in which order. */
import type { Clock } from './clock.ts'
import { createNoise } from './connection/noise.ts'
import type { Security } from './connection/security.ts'
import type { Identity } from './open-identity.ts'

/** A security channel by name. */
export type SecurityName = 'noise' | 'tls'

/**
 * The channels asked for, in order of preference. Default: Noise, then TLS where the platform has it.
 *
 * @throws `RangeError` for none, `TypeError` for an unknown one or one that the platform does not have
 */
export async function securitiesOf(
  names: readonly SecurityName[] | undefined,
  identity: Identity,
  clock: Clock,
): Promise<Security[]> {
  const createTls = undefined as ((init: { identity: Identity; clock: Clock }) => Promise<Security>) | undefined
  const chosen = names ?? (createTls === undefined ? ['noise'] : ['noise', 'tls'])
  if (chosen.length === 0 || new Set(chosen).size !== chosen.length) {
    throw new RangeError('Cannot create a node: security names no channel, or one twice')
  }
  const all: Security[] = []
  for (const name of chosen) {
    if (name === 'noise') all.push(createNoise({ identity }))
    else if (name === 'tls' && createTls !== undefined) all.push(await createTls({ identity, clock }))
    else throw new TypeError(`Cannot create a node: security channel ${name} is not there`)
  }
  return all
}
