/** Keccak-256 as Ethereum hashes with it, which is not SHA3-256. For public bytes alone: it is plain JavaScript. */
import { keccak_256 } from '@noble/hashes/sha3.js'

/**
 * The digest of a public message or public key.
 *
 * @returns 32 bytes
 */
export function keccak256(message: Uint8Array): Uint8Array {
  return keccak_256(message)
}
