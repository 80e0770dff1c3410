/** Short peer ids and readers for them: whatever begins with a capital letter is a peer, with a slash an address. */
import type { Address, PeerId } from '../../src/identity.ts'

/** Reads a peer id. */
export function peerNamed(text: string): PeerId {
  if (!/^[A-Z]/.test(text)) throw new SyntaxError(`Cannot read peer id: ${text}`)
  return text as PeerId
}

/** Reads an address. */
export function addressNamed(text: string): Address {
  if (!text.startsWith('/')) throw new SyntaxError(`Cannot read address: ${text}`)
  return text as Address
}
