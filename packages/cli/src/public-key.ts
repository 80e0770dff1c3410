/** Public keys from files of others: OpenSSH lines, PEM, JWK. Reads public bytes only, with what Node.js knows. */
import { createPublicKey } from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'

import { concat, decodeUtf8 } from '@stronghold/core'

import { Failure } from './failure.ts'
import { MAX_PUBLIC_KEY_BYTES } from './limits.ts'

/** A public key as `verify` takes it. */
export interface PublicKey {
  readonly type: 'ed25519' | 'secp256k1' | 'p256' | 'p384'
  /** 32 bytes, or an uncompressed point. */
  readonly bytes: Uint8Array
}

const SSH_NAMES: Readonly<Record<string, PublicKey['type']>> = {
  'ssh-ed25519': 'ed25519',
  'ecdsa-sha2-nistp256': 'p256',
  'ecdsa-sha2-nistp384': 'p384',
}
const CURVES: Readonly<Record<string, PublicKey['type']>> = {
  Ed25519: 'ed25519',
  'P-256': 'p256',
  'P-384': 'p384',
  secp256k1: 'secp256k1',
}

/** Reads a public key. @throws `Failure` `usage` for a file that is none of the three, or of another kind of key */
export function readPublicKey(file: Uint8Array): PublicKey {
  try {
    if (file.byteLength > MAX_PUBLIC_KEY_BYTES) throw new RangeError('too long')
    const text = decodeUtf8(file).trim()
    if (text.startsWith('-----BEGIN PUBLIC KEY-----')) {
      return fromJwk(createPublicKey(text).export({ format: 'jwk' }))
    }
    if (text.startsWith('{')) {
      const jwk = JSON.parse(text) as JsonWebKey
      if (jwk.d !== undefined) throw new SyntaxError('a private key')
      return fromJwk(createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'jwk' }))
    }
    return fromSshLine(text)
  } catch (cause) {
    throw new Failure('usage', 'cannot read the public key', {
      reason: 'it is no OpenSSH, PEM or JWK public key that signs',
      cause,
    })
  }
}

function fromJwk({ crv = '', x = '', y }: JsonWebKey): PublicKey {
  const type = CURVES[crv]
  if (type === undefined) throw new SyntaxError('another kind of key')
  const first = new Uint8Array(Buffer.from(x, 'base64url'))
  if (y === undefined) return { type, bytes: first }
  return {
    type,
    bytes: concat([Uint8Array.of(4), first, new Uint8Array(Buffer.from(y, 'base64url'))]),
  }
}

/** `ssh-ed25519 AAAA… comment`, or the same behind a principal and options (RFC 4253 §6.6, RFC 5656 §3.1). */
function fromSshLine(line: string): PublicKey {
  const words = line.split(/\s+/)
  const at = words.findIndex((word) => Object.hasOwn(SSH_NAMES, word))
  const name = words[at] ?? ''
  const type = SSH_NAMES[name]
  if (type === undefined || line.includes('\n')) throw new SyntaxError('no line of a key')
  const blob = Buffer.from(words[at + 1] ?? '', 'base64')
  const strings: Uint8Array[] = []
  for (let from = 0; from < blob.byteLength;) {
    const length = blob.readUInt32BE(from)
    if (from + 4 + length > blob.byteLength) throw new SyntaxError('cut off')
    strings.push(new Uint8Array(blob.subarray(from + 4, from + 4 + length)))
    from += 4 + length
  }
  const bytes = strings.at(-1)
  const isWhole = strings.length === (type === 'ed25519' ? 2 : 3)
  if (bytes === undefined || !isWhole || decodeUtf8(strings[0] ?? new Uint8Array()) !== name) {
    throw new SyntaxError('not as its name says')
  }
  return { type, bytes }
}
