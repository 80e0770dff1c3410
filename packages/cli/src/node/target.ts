/** Whom a command means: a name of the peer book, a peer id, or an address that ends with one. */
import { inBook, isPeerId, readBook, unknownPeer } from '../book.ts'
import type { Home } from '../home.ts'

/** A peer, and where it may be. */
export interface PeerTarget {
  readonly peer: string
  /** What people call it: its name, else its id. */
  readonly name: string
  /** Beside those that the node knows; without the peer id. */
  readonly addresses: readonly string[]
}

/** @throws `Failure` `not_found` for a name that the book does not have */
export function peerTarget(home: Home, text: string): PeerTarget {
  const found = inBook(readBook(home), text)
  if (found !== undefined) return found
  if (isPeerId(text)) {
    return { peer: text, name: text, addresses: [] }
  }
  const [, front, peer] = /^(\/.+)\/p2p\/([1-9A-HJ-NP-Za-km-z]{40,128})$/.exec(text) ?? []
  if (front !== undefined && peer !== undefined) {
    return { peer, name: peer, addresses: [front] }
  }
  throw unknownPeer(text, 'the peer book has none of that name')
}
