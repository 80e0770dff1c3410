/** SHA-256 of Node.js, for what runs where a vault is; requesters elsewhere hand in their own. */
import { hash } from 'node:crypto'

/** SHA-256 (FIPS 180-4): 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset } = hash('sha256', bytes, 'buffer')
  return new Uint8Array(buffer, byteOffset, 32)
}
