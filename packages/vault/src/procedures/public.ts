/** Public keys in the words of those who read them. It touches no secret. */
import type { PAIR_TYPES, pub } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { ethereumAddress } from '../formats/ethereum.ts'
import { jwkThumbprint, writePublicJwk } from '../formats/jwk.ts'
import { compressPoint } from '../formats/key-pairs.ts'
import { writePeerId } from '../formats/peer-id.ts'
import { writeSpkiPem } from '../formats/spki.ts'
import type { PublicKeyParts } from '../formats/spki.ts'
import { writeAllowedSigner, writeSshLine } from '../formats/ssh-public.ts'
import type { SshPublicKey } from '../formats/ssh-public.ts'
import { reading } from './reading.ts'
import type { Implementation, ReadHandle } from './registry.ts'

/** `pub` */
export const showing: Implementation<typeof pub> = ({ as = { format: 'raw' } }, { key }) => {
  const parts = partsOf(key)
  const { type, publicKey } = parts
  const shown = { type, version: key.version }
  return reading(() => {
    switch (as.format) {
      case 'raw':
        return {
          ...shown,
          publicKey: publicKey.byteLength > 32 ? compressPoint(publicKey) : publicKey,
        }
      case 'spki':
        return { ...shown, text: writeSpkiPem(parts) }
      case 'openssh':
        return { ...shown, text: writeSshLine(sshKey(parts), as.comment) }
      case 'allowed-signers': {
        const { principal, namespaces } = as
        const signer = { principal, ...(namespaces !== undefined && { namespaces }) }
        return { ...shown, text: writeAllowedSigner(signer, sshKey(parts)) }
      }
      case 'peer-id':
        return { ...shown, text: writePeerId(parts) }
      case 'jwk':
        return { ...shown, text: writePublicJwk(parts), thumbprint: jwkThumbprint(parts) }
      case 'evm':
        if (type !== 'secp256k1') throw new SyntaxError(`Cannot write address: ${type} has none`)
        return { ...shown, text: ethereumAddress(publicKey) }
    }
  })
}

/** The public half of a record. @throws `VaultError` `invalid_argument` for a record without one */
export function partsOf({ type, publicKey }: ReadHandle): PublicKeyParts & { type: PairType } {
  switch (type) {
    case 'ed25519':
    case 'x25519':
    case 'secp256k1':
    case 'p256':
    case 'p384':
      if (publicKey !== undefined) return { type, publicKey }
      break
    default:
  }
  throw new VaultError('invalid_argument', `Cannot show public key: ${type} has none`)
}

/** A key as OpenSSH names it. @throws `SyntaxError` for a type that OpenSSH does not know */
export function sshKey({ type, publicKey }: PublicKeyParts): SshPublicKey {
  if (type === 'ed25519' || type === 'p256' || type === 'p384') return { type, publicKey }
  throw new SyntaxError(`Cannot write for OpenSSH: it knows no ${type} keys`)
}

type PairType = (typeof PAIR_TYPES)[number]
