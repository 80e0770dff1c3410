/** Peers for the tests of finding, and where they are. */
import { openIdentity } from '../../src/open-identity.ts'
import type { Identity } from '../../src/open-identity.ts'
import { parseAddress } from '../../src/identity.ts'
import type { Address } from '../../src/identity.ts'

/** Fresh ones; keys of tests need no more. */
export function identities(count: number): Promise<Identity[]> {
  return Promise.all(Array.from({ length: count }, () => openIdentity({ generate: 'ed25519' })))
}

export function at(text: string, { peer }: Pick<Identity, 'peer'>): Address {
  return parseAddress(`${text}/p2p/${peer}`)
}
