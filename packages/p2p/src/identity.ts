/**
 * Peer ids, addresses and the key behind them, as text of one canonical form and as libp2p's objects. Knows no
 * connection and no vault.
 */
import { peerIdFromMultihash } from '@libp2p/peer-id'
import type { PeerId as Libp2pPeerId } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

import { MAX_INLINE_KEY_BYTES, decodePublicKey } from './keys.ts'

declare const brand: unique symbol

/** A peer id as text, in its one canonical form (base58btc of the multihash). Compares, keys maps, prints as JSON. */
export type PeerId = string & { readonly [brand]: 'PeerId' }

/** A multiaddr as text, in its one canonical form. */
export type Address = string & { readonly [brand]: 'Address' }

// libp2p/specs peer-ids/peer-ids.md "String representation".
const LIBP2P_KEY = 0x72
const IDENTITY_HASH = 0x00
const SHA2_256_HASH = 0x12

// Ours. Decoding base58 takes time that grows with the square of its length.
const MAX_PEER_ID_LENGTH = 128
const MAX_ADDRESS_LENGTH = 1024

/**
 * Reads a peer id: base58btc as in `12D3Koo…` and `Qm…`, or a CIDv1 in base32, base36 or base58btc. The key inside an
 * identity multihash must be a whole one.
 *
 * @throws `SyntaxError` for anything else (libp2p/specs peer-ids/peer-ids.md "Decoding")
 */
export function parsePeerId(text: string): PeerId {
  if (text.length > MAX_PEER_ID_LENGTH) throw notPeerId(text)
  try {
    const multihash =
      text.startsWith('1') || text.startsWith('Qm')
        ? Digest.decode(base58btc.baseDecode(text))
        : multihashOfCid(text)
    checkMultihash(multihash)
    return peerIdOfMultihash(multihash)
  } catch (cause) {
    throw notPeerId(text, cause)
  }
}

/**
 * Reads a multiaddr; peer ids in it become base58btc.
 *
 * @throws `SyntaxError` for text that is none
 */
export function parseAddress(text: string): Address {
  if (text.length > MAX_ADDRESS_LENGTH || !text.startsWith('/')) throw notAddress(text)
  try {
    return addressOf(multiaddr(text))
  } catch (cause) {
    throw notAddress(text, cause)
  }
}

/** Names that stand in an address as they came: a slash in one would be the next part, anything but ASCII a letter that is none. */
const NAMES: ReadonlySet<string> = new Set(['dns', 'dns4', 'dns6', 'dnsaddr', 'ip6zone', 'sni'])
const NAME = /^[\x21-\x2e\x30-\x7e]+$/
const PRINTABLE = /^[\x21-\x7e]+$/

/**
 * The canonical text of libp2p's address.
 *
 * @throws `SyntaxError` for a peer id in it that is none, and for text in it that is no name
 */
export function addressOf(address: Multiaddr): Address {
  const parts = multiaddr(address.bytes).getComponents()
  const named = parts.map((part) =>
    part.name === 'p2p' && part.value !== undefined
      ? { code: part.code, name: part.name, value: parsePeerId(part.value) }
      : part,
  )
  const text = multiaddr(named).toString()
  const isName = named.every(({ name, value = '' }) => !NAMES.has(name) || NAME.test(value))
  if (!isName || !PRINTABLE.test(text)) throw notAddress(text)
  return text as Address
}

/**
 * The address that somebody told as bytes, with the peer's id at its end. Undefined for bytes that are none, for one
 * that is too long and for one that names another peer there.
 */
export function addressFromBytes(bytes: Uint8Array, peer: PeerId): Address | undefined {
  if (bytes.byteLength === 0 || bytes.byteLength > MAX_ADDRESS_LENGTH) return undefined
  try {
    const address = addressOf(multiaddr(bytes))
    const named = /\/p2p\/([^/]+)$/.exec(address)?.[1]
    if (named !== undefined && named !== peer) return undefined
    const whole = named === undefined ? `${address}/p2p/${peer}` : address
    return whole.length > MAX_ADDRESS_LENGTH ? undefined : (whole as Address)
  } catch {
    return undefined
  }
}

/** Without the peer id at its end. */
export function bareOf(address: Address): Address {
  return address.replace(/\/p2p\/[^/]+$/, '') as Address
}

/** libp2p's object of an address. */
export function toMultiaddr(address: Address): Multiaddr {
  return multiaddr(address)
}

/** The peer id of libp2p's object. @throws `SyntaxError` for one that stands for no key, such as an HTTP gateway */
export function peerIdOf(peer: Libp2pPeerId): PeerId {
  return parsePeerId(peer.toString())
}

/**
 * libp2p's object of a peer id. It carries the public key where the id does; ids that are a hash, ECDSA's among
 * them, are of libp2p's type `RSA` without a key.
 */
export function toLibp2pPeerId(peer: PeerId): Libp2pPeerId {
  return peerIdFromMultihash(Digest.decode(base58btc.baseDecode(peer)))
}

function multihashOfCid(text: string): Digest.Digest<number, number> {
  const cid = text.startsWith('k') ? CID.parse(text, base36) : CID.parse(text)
  if (cid.version !== 1 || cid.code !== LIBP2P_KEY)
    throw new SyntaxError('no CIDv1 of a libp2p key')
  return Digest.decode(cid.multihash.bytes)
}

function checkMultihash({ code, digest }: Digest.Digest<number, number>): void {
  if (code === SHA2_256_HASH && digest.byteLength === 32) return
  if (code !== IDENTITY_HASH || digest.byteLength > MAX_INLINE_KEY_BYTES) {
    throw new SyntaxError('no SHA2-256 and no short key')
  }
  decodePublicKey(digest)
}

function peerIdOfMultihash(multihash: Digest.Digest<number, number>): PeerId {
  // libp2p's own object is made once here, so that `toLibp2pPeerId` never fails: it checks the point of a key.
  peerIdFromMultihash(multihash)
  return base58btc.baseEncode(multihash.bytes) as PeerId
}

function notPeerId(text: string, cause?: unknown): SyntaxError {
  return new SyntaxError(`Cannot read the peer id '${text.slice(0, 64)}': not one`, { cause })
}

function notAddress(text: string, cause?: unknown): SyntaxError {
  return new SyntaxError(`Cannot read the address '${text.slice(0, 64)}': no multiaddr`, { cause })
}
