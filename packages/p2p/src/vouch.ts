/**
 * What an identity does where no node runs: it says who it is, and vouches for something once. Gives nothing of the key
 * out, and knows nothing of what is vouched for.
 */
import { openIdentity } from './open-identity.ts'
import type { IdentitySource } from './open-identity.ts'
import type { PeerId } from './identity.ts'
import { sealEnvelope } from './peer-record.ts'
import type { EnvelopeKind } from './peer-record.ts'

/** The peer id of an identity, which is made where it is a file that is not there yet. @throws `P2pError` as `createNode` */
export async function peerOfIdentity(source: IdentitySource): Promise<PeerId> {
  return (await openIdentity(source)).peer
}

/**
 * Signs a payload as an identity.
 *
 * @returns the envelope's protobuf, which `openEnvelope` reads (libp2p RFC 0002)
 * @throws `P2pError` as `createNode` for an identity that cannot be opened
 */
export async function sealAsIdentity(
  source: IdentitySource,
  kind: EnvelopeKind,
  payload: Uint8Array,
): Promise<Uint8Array> {
  return await sealEnvelope(await openIdentity(source), kind, payload)
}
