/**
 * The recipients of age that this package knows (age-encryption.org/v1 "Native recipient types"): X25519 and scrypt.
 * They wrap a file key into a stanza and unwrap it again; the key lies in the slab.
 */
import { scrypt } from 'node:crypto'

import { concat, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { DEFAULT_AGE_LOG_N, MAX_AGE_LOG_N, MIN_AGE_LOG_N } from '../limits.ts'
import { CHACHA20_POLY1305 } from '../primitives/aead.ts'
import { hkdf } from '../primitives/hkdf.ts'
import { agree, publicKey } from '../primitives/x25519.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

import type { AgeStanza } from './age-header.ts'
import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'

/** Whom a file is written for. */
export type AgeRecipient =
  | {
      readonly type: 'x25519'
      /** 32 bytes. */
      readonly publicKey: Uint8Array
    }
  | {
      readonly type: 'scrypt'
      /** UTF-8 as typed, in the slab. Must be the file's only recipient. */
      readonly passphrase: Uint8Array
      /** log₂ of the work factor. Default `DEFAULT_AGE_LOG_N`. */
      readonly logN?: number
    }

/** Who reads a file. */
export type AgeIdentity =
  | {
      readonly type: 'x25519'
      /** 32 bytes of the slab. */
      readonly secretKey: Uint8Array
    }
  | {
      readonly type: 'scrypt'
      /** UTF-8 as typed, in the slab. */
      readonly passphrase: Uint8Array
      /** Highest work factor to compute, as log₂ N. Default `MAX_AGE_LOG_N`. */
      readonly maxLogN?: number
    }

/** Bytes of the key that every recipient of a file gets. */
export const AGE_FILE_KEY_BYTES = 16

const BODY_BYTES = AGE_FILE_KEY_BYTES + 16
const SALT_BYTES = 16
const X25519_INFO = encodeUtf8('age-encryption.org/v1/X25519')
const SCRYPT_SALT = encodeUtf8('age-encryption.org/v1/scrypt')
const NOTHING = new Uint8Array(0)
const ZERO_NONCE = new Uint8Array(12)

/**
 * A file key for one recipient.
 *
 * @throws `RangeError` for a work factor that is too low or too high, `VaultError` `invalid_argument` for a public key
 *   of small order
 */
export async function wrapAgeFileKey(
  slab: Slab,
  fileKey: Uint8Array,
  recipient: AgeRecipient,
): Promise<AgeStanza> {
  using wrapKey = slab.take(32)
  const seal = (args: readonly string[]): AgeStanza => ({
    args,
    body: CHACHA20_POLY1305.seal(wrapKey.bytes, ZERO_NONCE, NOTHING, fileKey),
  })
  if (recipient.type === 'x25519') {
    using ephemeral = slab.random(32)
    const share = publicKey(ephemeral.bytes)
    x25519WrapKey(slab, ephemeral.bytes, recipient.publicKey, [share, recipient.publicKey], wrapKey)
    return seal(['X25519', encodeBase64(share, 'unpadded')])
  }
  const logN = recipient.logN ?? DEFAULT_AGE_LOG_N
  if (!(Number.isInteger(logN) && logN >= MIN_AGE_LOG_N && logN <= MAX_AGE_LOG_N)) {
    throw new RangeError(
      `Cannot write age file: work factor ${logN}, not ${MIN_AGE_LOG_N} to ${MAX_AGE_LOG_N}`,
    )
  }
  const salt = new Uint8Array(SALT_BYTES)
  sodium.randombytes_buf(salt)
  await scryptInto(wrapKey.bytes, recipient.passphrase, salt, logN)
  return seal(['scrypt', encodeBase64(salt, 'unpadded'), String(logN)])
}

/** What a stanza says to who knows its type; `undefined` where the type is none of ours. */
export type AgeWrapped =
  | { readonly type: 'x25519'; readonly share: Uint8Array; readonly body: Uint8Array }
  | {
      readonly type: 'scrypt'
      readonly salt: Uint8Array
      readonly logN: number
      readonly body: Uint8Array
    }

/**
 * Checks the stanzas of a header, of which a passphrase's must be the only one.
 *
 * @returns one for each stanza, `undefined` for the types of others
 * @throws `SyntaxError` naming the recipient, counted from 1
 */
export function parseAgeStanzas(
  stanzas: readonly AgeStanza[],
): readonly (AgeWrapped | undefined)[] {
  return stanzas.map(({ args, body }, i) => {
    const bad = (state: string): SyntaxError =>
      new SyntaxError(`Cannot read age header: recipient ${i + 1}: ${state}`)
    const [type, first, second, ...more] = args
    if (type !== 'X25519' && type !== 'scrypt') return undefined
    const given = args.length - 1
    const expected = type === 'X25519' ? 1 : 2
    if (given !== expected || first === undefined || more.length > 0) {
      throw bad(`${given} arguments where ${expected} are expected`)
    }
    // The length tells before any key is tried, else one body could fit several keys.
    if (body.byteLength !== BODY_BYTES) throw bad(`a body of ${body.byteLength} bytes`)
    if (type === 'X25519') return { type: 'x25519', share: argument(first, 32, bad), body }
    if (stanzas.length > 1) throw bad('a passphrase beside other recipients')
    const salt = argument(first, SALT_BYTES, bad)
    if (!/^[1-9][0-9]?$/.test(second ?? '')) throw bad('no work factor')
    return { type: 'scrypt', salt, logN: Number(second), body }
  })
}

/**
 * The file key, if this identity opens one of the stanzas.
 *
 * @throws `RangeError` for a work factor over the identity's, `VaultError` `invalid_argument` for a share of small order
 */
export async function unwrapAgeFileKey(
  slab: Slab,
  wrapped: readonly (AgeWrapped | undefined)[],
  identity: AgeIdentity,
): Promise<Secret | undefined> {
  using wrapKey = slab.take(32)
  for (const stanza of wrapped) {
    if (stanza?.type === 'x25519' && identity.type === 'x25519') {
      const salt = [stanza.share, publicKey(identity.secretKey)] as const
      x25519WrapKey(slab, identity.secretKey, stanza.share, salt, wrapKey)
    } else if (stanza?.type === 'scrypt' && identity.type === 'scrypt') {
      const maxLogN = identity.maxLogN ?? MAX_AGE_LOG_N
      if (stanza.logN > maxLogN) {
        throw new RangeError(`Cannot open age file: work factor ${stanza.logN} is over ${maxLogN}`)
      }
      await scryptInto(wrapKey.bytes, identity.passphrase, stanza.salt, stanza.logN)
    } else continue
    const fileKey = slab.take(AGE_FILE_KEY_BYTES)
    const body = stanza.body
    if (CHACHA20_POLY1305.open(wrapKey.bytes, ZERO_NONCE, NOTHING, body, fileKey.bytes)) {
      return fileKey
    }
    fileKey.wipe()
  }
  return undefined
}

function x25519WrapKey(
  slab: Slab,
  secretKey: Uint8Array,
  theirs: Uint8Array,
  [share, recipient]: readonly [Uint8Array, Uint8Array],
  out: Secret,
): void {
  using shared = slab.take(32)
  agree(secretKey, theirs, shared.bytes)
  hkdf('sha256', shared.bytes, { salt: concat([share, recipient]), info: X25519_INFO }, out.bytes)
}

/** RFC 7914 with r = 8, p = 1, on a thread of the pool: a work factor of 18 takes most of a second. */
function scryptInto(
  out: Uint8Array,
  passphrase: Uint8Array,
  salt: Uint8Array,
  logN: number,
): Promise<void> {
  const cost = 2 ** logN
  const options = { N: cost, r: 8, p: 1, maxmem: 128 * 8 * (cost + 4) }
  return new Promise((resolve, reject) => {
    scrypt(passphrase, concat([SCRYPT_SALT, salt]), out.byteLength, options, (error, key) => {
      if (error !== null) {
        reject(new VaultError('resource_exhausted', 'Cannot derive key: no memory for scrypt'))
        return
      }
      // It has memory of its own outside the moving heap, so wiping it reaches the only copy. The slab may be gone.
      try {
        out.set(key)
        resolve()
      } catch (cause) {
        reject(cause instanceof Error ? cause : new TypeError(String(cause)))
      } finally {
        key.fill(0)
      }
    })
  })
}

function argument(text: string, length: number, bad: (state: string) => SyntaxError): Uint8Array {
  try {
    const bytes = encodeUtf8(text)
    const out = new Uint8Array(decodedBase64Length(bytes, 'unpadded'))
    decodeBase64(bytes, out, 'unpadded')
    if (out.byteLength === length) return out
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw bad(`no argument of ${length} bytes in canonical base64`)
}
