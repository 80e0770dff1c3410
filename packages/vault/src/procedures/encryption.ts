/**
 * Envelopes, data keys and wrapped secrets. Nonces are made here from the vault's randomness; no input has one. It knows
 * nothing of versions below the minimum: the handle refuses them.
 */
import { concat, encodeUtf8, equalBytes } from '@stronghold/core'

import type { dataKey, decrypt, encrypt, rewrap, unwrap, wrap } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { AES_256_GCM, TAG_BYTES, XCHACHA20_POLY1305 } from '../primitives/aead.ts'
import type { Aead } from '../primitives/aead.ts'
import * as keywrap from '../primitives/keywrap.ts'
import { makeRecord } from './pairs.ts'
import type { Tools } from './pairs.ts'
import type { Implementation, Scope, UseHandle } from './registry.ts'

/** vault-format.md §6. */
const MAGIC = encodeUtf8('SHE1')
const HEADER_BYTES = 25
const ALGORITHMS: Readonly<Record<string, { number: number; aead: Aead }>> = Object.freeze({
  'xchacha20-poly1305': { number: 1, aead: XCHACHA20_POLY1305 },
  'aes-256-gcm': { number: 2, aead: AES_256_GCM },
})

const DATA_KEY_BYTES = 32
const NO_CONTEXT = new Uint8Array(0)

/** `encrypt` */
export const encrypting: Implementation<typeof encrypt> = (
  { message, context },
  { key },
  scope,
) => ({
  envelope: seal(key, message, context, scope),
})

/** `decrypt` */
export const decrypting: Implementation<typeof decrypt> = (
  { envelope, context },
  { key },
  scope,
) => ({ message: Uint8Array.from(open(key, envelope, context, scope)) })

/** `rewrap` */
export const rewrapping: Implementation<typeof rewrap> = (
  { envelope, context },
  { key },
  scope,
) => {
  // The role asks for one usage; what is written anew needs the other.
  if (!key.labels.usage.has('encrypt')) {
    throw new VaultError('permission_denied', 'Cannot rewrap: the key may not encrypt', {
      reason: 'usage',
    })
  }
  return { envelope: seal(key, open(key, envelope, context, scope), context, scope) }
}

/** `data-key` */
export const makingDataKey: Implementation<typeof dataKey> = (
  { length, context, plain },
  { key },
  scope,
) => {
  const secret = scope.scratch(length ?? DATA_KEY_BYTES)
  scope.random(secret)
  const envelope = seal(key, secret, context, scope)
  return plain ? { envelope, plain: Uint8Array.from(secret) } : { envelope }
}

/** `wrap` */
export const wrapping: Implementation<typeof wrap> = ({ as }, { key, source }) => {
  const secret = source.secret()
  if (as?.format !== 'aes-kw') return { wrapped: keywrap.wrapPadded(key.secret(), secret) }
  if (secret.byteLength < 16 || secret.byteLength % 8 !== 0) {
    throw new VaultError(
      'invalid_argument',
      `Cannot wrap ${secret.byteLength} bytes: aes-kw takes 16 or more, a multiple of 8`,
    )
  }
  return { wrapped: keywrap.wrap(key.secret(), secret) }
}

/** `unwrap` */
export function unwrapping(tools: Tools): Implementation<typeof unwrap> {
  return ({ wrapped, type, as, labels }, { key, to }, scope) => {
    const room = scope.scratch(Math.max(wrapped.byteLength - keywrap.OVERHEAD_BYTES, 0))
    const length =
      as?.format === 'aes-kw'
        ? keywrap.unwrap(key.secret(), wrapped, room)
          ? room.byteLength
          : undefined
        : keywrap.unwrapPadded(key.secret(), wrapped, room)
    if (length === undefined) {
      throw new VaultError(
        'invalid_argument',
        'Cannot unwrap secret: it was not wrapped so under this key',
      )
    }
    const secret = room.subarray(0, length)
    return { record: makeRecord(to, { type, secret, labels, origin: 'imported' }, tools, scope) }
  }
}

function seal(
  key: UseHandle,
  message: Uint8Array,
  context: Uint8Array | undefined,
  scope: Scope,
): Uint8Array {
  const { number, aead } = algorithmOf(key)
  const header = new Uint8Array(HEADER_BYTES)
  header.set(MAGIC)
  header[4] = number
  header.set(key.id, 5)
  new DataView(header.buffer).setUint32(21, key.version)
  const nonce = new Uint8Array(aead.nonceBytes)
  scope.random(nonce)
  // Durably counted before it is used: a nonce that comes twice gives the key of AES-GCM's authentication away.
  if (aead === AES_256_GCM) key.countNonce()
  const associated = concat([header, context ?? NO_CONTEXT])
  return concat([header, nonce, aead.seal(key.secret(), nonce, associated, message)])
}

/** The plaintext in scratch. One error for all that does not authenticate, so that nobody learns which part was wrong. */
function open(
  key: UseHandle,
  envelope: Uint8Array,
  context: Uint8Array | undefined,
  scope: Scope,
): Uint8Array {
  const { number, aead } = algorithmOf(key)
  const sealedAt = HEADER_BYTES + aead.nonceBytes
  const fits =
    envelope.byteLength >= sealedAt + TAG_BYTES &&
    equalBytes(envelope.subarray(0, 4), MAGIC) &&
    envelope[4] === number
  if (!fits) throw refuse(`it is no envelope of ${key.type}`)
  const header = envelope.subarray(0, HEADER_BYTES)
  // An envelope of a record that was copied or wrapped names the other record: then the reference says the version.
  const own = equalBytes(header.subarray(5, 21), key.id)
  const version = own ? new DataView(header.slice().buffer).getUint32(21) : key.version
  const message = scope.scratch(envelope.byteLength - sealedAt - TAG_BYTES)
  const nonce = envelope.subarray(HEADER_BYTES, sealedAt)
  const associated = concat([header, context ?? NO_CONTEXT])
  if (aead.open(key.secret(version), nonce, associated, envelope.subarray(sealedAt), message)) {
    return message
  }
  throw refuse('key, context or content is another than was sealed')
}

function algorithmOf(key: UseHandle): { number: number; aead: Aead } {
  const found = ALGORITHMS[key.type]
  if (found === undefined) throw refuse(`${key.type} is no cipher`)
  return found
}

function refuse(why: string): VaultError {
  return new VaultError('invalid_argument', `Cannot open envelope: ${why}`)
}
