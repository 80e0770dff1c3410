/**
 * Public keys as OpenSSL writes them: SubjectPublicKeyInfo (RFC 5480 §2, RFC 8410 §4) in DER and PEM. Points are
 * uncompressed; whether one lies on its curve is for whoever computes with it.
 */
import { readAlgorithm, writeAlgorithm } from './algorithm.ts'
import { derBitString, derElement, DerReader, SEQUENCE } from './der.ts'
import { assertPublicKey, isPublicKey, PUBLIC_KEY_BYTES } from './key-pairs.ts'
import type { PairType } from './key-pairs.ts'
import { readPublicPem, writePem } from './pem.ts'

/** A public key and its type: 32 bytes, or an uncompressed point. */
export interface PublicKeyParts {
  readonly type: PairType
  readonly publicKey: Uint8Array
}

const LABEL = 'PUBLIC KEY'

/**
 * Writes a public key in DER.
 *
 * @throws `TypeError` for bytes that are no such key
 */
export function writeSpki({ type, publicKey }: PublicKeyParts): Uint8Array {
  assertPublicKey(type, publicKey)
  return derElement(SEQUENCE, writeAlgorithm(type), derBitString(publicKey))
}

/** The same as PEM, "PUBLIC KEY". @throws as `writeSpki` */
export function writeSpkiPem(key: PublicKeyParts): string {
  return writePem(LABEL, writeSpki(key))
}

/**
 * Reads a public key in DER.
 *
 * @throws `SyntaxError` with the place, for what is not supported or malformed
 */
export function readSpki(der: Uint8Array): PublicKeyParts {
  const outer = new DerReader(der, 'public key')
  const reader = outer.enter(SEQUENCE)
  outer.end()
  const type = readAlgorithm(reader)
  const publicKey = Uint8Array.from(reader.bitString())
  reader.end()
  if (!isPublicKey(type, publicKey)) {
    throw reader.refuse(
      publicKey.byteLength === (PUBLIC_KEY_BYTES[type] + 1) / 2
        ? 'a compressed point; type: openssl ec -pubin -in FILE -conv_form uncompressed'
        : `${publicKey.byteLength} bytes are no ${type} key`,
    )
  }
  return { type, publicKey }
}

/** The same from PEM, "PUBLIC KEY". @throws as `readSpki` and `readPublicPem` */
export function readSpkiPem(text: Uint8Array): PublicKeyParts {
  return readSpki(readPublicPem(text, [LABEL]).der)
}
