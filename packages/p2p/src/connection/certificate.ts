/**
 * libp2p's TLS certificates (libp2p/specs tls/tls.md): makes a node's own, and decides on another's. Pure: time and
 * signatures are handed in. Knows nothing of connections.
 */
import { concat, encodeUtf8, equalBytes, fromHex, toHex } from '@stronghold/core'

import {
  BIT_STRING,
  BOOLEAN,
  DerReader,
  GENERALIZED_TIME,
  INTEGER,
  OCTET_STRING,
  OID,
  SEQUENCE,
  SET,
  UTC_TIME,
  UTF8_STRING,
  der,
  derBits,
  derNatural,
  derOid,
} from '../der.ts'
import { decodePublicKey } from '../keys.ts'
import type { PublicKey } from '../keys.ts'

// tls.md "libp2p Public Key Extension".
const LIBP2P_EXTENSION = '1.3.6.1.4.1.53594.1.1'
const SIGNATURE_PREFIX = encodeUtf8('libp2p-tls-handshake:')

// RFC 5280 §4.1: context tags of a certificate's optional fields.
const VERSION_TAG = 0xa0
const ISSUER_ID_TAG = 0x81
const SUBJECT_ID_TAG = 0x82
const EXTENSIONS_TAG = 0xa3
const VERSION_3 = 2

// RFC 5280 §4.2.1: extensions that may be critical and ask nothing of us but what is checked here.
const KEY_USAGE = '2.5.29.15'
const UNDERSTOOD = [LIBP2P_EXTENSION, KEY_USAGE, '2.5.29.19', '2.5.29.17'].map(oidHex)
const DIGITAL_SIGNATURE = 0x80

// Ours: five hundred bytes do for Ed25519, RSA with 8,192 bits needs three thousand.
const MAX_CERTIFICATE_BYTES = 16 * 1024
const MAX_EXTENSIONS = 32

/** How a certificate signs itself, by its AlgorithmIdentifier in DER (RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3). */
const ALGORITHMS: ReadonlyMap<string, CertificateDigest> = new Map([
  ['300a06082a8648ce3d040302', 'sha256'],
  ['300a06082a8648ce3d040303', 'sha384'],
  ['300a06082a8648ce3d040304', 'sha512'],
  ['300d06092a864886f70d01010b0500', 'sha256'],
  ['300d06092a864886f70d01010c0500', 'sha384'],
  ['300d06092a864886f70d01010d0500', 'sha512'],
  ['300506032b6570', 'none'],
])
const ECDSA_WITH_SHA256 = fromHex('300a06082a8648ce3d040302')

/** The digest under a certificate's signature; `none` for Ed25519. */
export type CertificateDigest = 'sha256' | 'sha384' | 'sha512' | 'none'

/** Whether a key, as SubjectPublicKeyInfo, signed these bytes. */
export type VerifyCertificateSignature = (
  digest: CertificateDigest,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
) => boolean

/** What a certificate says, its own signature proven. The identity's is not, yet. */
export interface CertifiedIdentity {
  /** The identity's public key as libp2p protobuf. */
  publicKey: Uint8Array
  key: PublicKey
  /** What the identity must have signed, and its signature. */
  signedBytes: Uint8Array
  signature: Uint8Array
}

/** What a new certificate is made of. */
export interface CertificateInit {
  /** The identity's public key as libp2p protobuf. */
  publicKey: Uint8Array
  /** The identity's signature over `certificateSignedBytes(spki)`. */
  signature: Uint8Array
  /** A fresh P-256 key's SubjectPublicKeyInfo, and what signs with it: ECDSA with SHA-256, in DER. */
  spki: Uint8Array
  sign: (data: Uint8Array) => Uint8Array
  /** 16 random bytes. */
  serial: Uint8Array
  notBeforeMs: number
  notAfterMs: number
}

/** What the identity signs: that the key of this certificate is its own. */
export function certificateSignedBytes(spki: Uint8Array): Uint8Array {
  return concat([SIGNATURE_PREFIX, spki])
}

/** A self-signed certificate in DER (RFC 5280 §4.1). Its names say nothing. */
export function encodeCertificate(init: CertificateInit): Uint8Array {
  const name = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, derOid('2.5.4.10'), der(UTF8_STRING, encodeUtf8('libp2p.io')))),
  )
  const signedKey = der(
    SEQUENCE,
    der(OCTET_STRING, init.publicKey),
    der(OCTET_STRING, init.signature),
  )
  const extension = der(SEQUENCE, derOid(LIBP2P_EXTENSION), der(OCTET_STRING, signedKey))
  const toBeSigned = der(
    SEQUENCE,
    der(VERSION_TAG, der(INTEGER, Uint8Array.of(VERSION_3))),
    // Never zero, at most 20 bytes.
    derNatural(concat([Uint8Array.of(1), init.serial])),
    ECDSA_WITH_SHA256,
    name,
    der(SEQUENCE, encodeTime(init.notBeforeMs), encodeTime(init.notAfterMs)),
    name,
    init.spki,
    der(EXTENSIONS_TAG, der(SEQUENCE, extension)),
  )
  return der(SEQUENCE, toBeSigned, ECDSA_WITH_SHA256, derBits(init.sign(toBeSigned)))
}

/**
 * Reads another's certificate: strict DER, valid at `nowMs`, signed by its own key, with the libp2p extension and no
 * critical one that is not understood. The identity's signature is left to the caller.
 *
 * @throws `SyntaxError` with what is wrong
 */
export function decodeCertificate(
  certificate: Uint8Array,
  nowMs: number,
  verify: VerifyCertificateSignature,
): CertifiedIdentity {
  if (certificate.byteLength > MAX_CERTIFICATE_BYTES) throw refused('it is too long')
  const outer = new DerReader(certificate)
  const reader = outer.into(SEQUENCE)
  outer.end()
  const toBeSigned = reader.next(SEQUENCE)
  const algorithm = reader.next(SEQUENCE).whole
  const signature = reader.bits()
  reader.end()

  const fields = new DerReader(toBeSigned.content)
  if (fields.into(VERSION_TAG).natural()[0] !== VERSION_3) throw refused('it has no version 3')
  fields.next(INTEGER)
  if (!equalBytes(fields.next(SEQUENCE).whole, algorithm)) throw refused('it names two algorithms')
  fields.next(SEQUENCE) // issuer
  checkValidity(fields.into(SEQUENCE), nowMs)
  fields.next(SEQUENCE) // subject
  const spki = fields.next(SEQUENCE).whole
  if (fields.peek() === ISSUER_ID_TAG) fields.any()
  if (fields.peek() === SUBJECT_ID_TAG) fields.any()
  const extensions = fields.peek() === EXTENSIONS_TAG ? fields.into(EXTENSIONS_TAG) : undefined
  fields.end()
  const signedKey = readExtensions(extensions)

  const digest = ALGORITHMS.get(toHex(algorithm))
  if (digest === undefined) throw refused('its signature algorithm is unknown')
  if (!verify(digest, spki, toBeSigned.whole, signature))
    throw refused('its own signature is wrong')
  return readSignedKey(signedKey, spki)
}

function checkValidity(validity: DerReader, nowMs: number): void {
  const notBeforeMs = readTime(validity)
  const notAfterMs = readTime(validity)
  validity.end()
  if (nowMs < notBeforeMs) throw refused('it is not valid yet')
  if (nowMs > notAfterMs) throw refused('it has expired')
}

/** The content of the libp2p extension, once all of them were looked at. */
function readExtensions(outer: DerReader | undefined): Uint8Array {
  const list = outer?.into(SEQUENCE)
  outer?.end()
  const seen = new Set<string>()
  let signedKey: Uint8Array | undefined
  while (list?.done === false) {
    const extension = list.into(SEQUENCE)
    const oid = toHex(extension.next(OID).content)
    const critical = extension.peek() === BOOLEAN && readTrue(extension)
    const value = extension.next(OCTET_STRING).content
    extension.end()
    if (seen.has(oid) || seen.size === MAX_EXTENSIONS) throw refused('it has an extension too many')
    seen.add(oid)
    if (critical && !UNDERSTOOD.includes(oid)) throw refused('it has an unknown critical extension')
    if (oid === oidHex(KEY_USAGE)) checkKeyUsage(value)
    if (oid === oidHex(LIBP2P_EXTENSION)) signedKey = value
  }
  if (signedKey === undefined) throw refused('it has no libp2p extension')
  return signedKey
}

// The default, false, is not written (X.690 §11.5).
function readTrue(extension: DerReader): true {
  const { content } = extension.next(BOOLEAN)
  if (content.byteLength !== 1 || content[0] !== 0xff) throw refused('it has a malformed extension')
  return true
}

function checkKeyUsage(value: Uint8Array): void {
  const { content } = new DerReader(value).next(BIT_STRING)
  if (((content[1] ?? 0) & DIGITAL_SIGNATURE) === 0) throw refused('its key is not for signatures')
}

function readSignedKey(signedKey: Uint8Array, spki: Uint8Array): CertifiedIdentity {
  const outer = new DerReader(signedKey)
  const reader = outer.into(SEQUENCE)
  outer.end()
  // A copy: what is kept of it must not keep the certificate.
  const publicKey = new Uint8Array(reader.next(OCTET_STRING).content)
  const signature = reader.next(OCTET_STRING).content
  reader.end()
  const key = decodePublicKey(publicKey)
  return { publicKey, key, signedBytes: certificateSignedBytes(spki), signature }
}

// RFC 5280 §4.1.2.5: years to 2049 as UTCTime, others as GeneralizedTime, seconds and Z always.
function encodeTime(atMs: number): Uint8Array {
  const text = new Date(atMs).toISOString().replace(/[-:T]|\.\d+/g, '')
  return text < '2050'
    ? der(UTC_TIME, encodeUtf8(text.slice(2)))
    : der(GENERALIZED_TIME, encodeUtf8(text))
}

function readTime(reader: DerReader): number {
  const short = reader.peek() === UTC_TIME
  const { content } = reader.next(short ? UTC_TIME : GENERALIZED_TIME)
  const digits = String.fromCharCode(...content.subarray(0, 16))
  const text = short ? `${digits < '50' ? '20' : '19'}${digits}` : digits
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (parts === null || content.byteLength > 15) throw refused('it has a malformed time')
  const [, year, month, day, hour, minute, second] = parts
  const iso = `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}.000Z`
  const atMs = Date.parse(iso)
  // A 31st of April is parsed as a 1st of May.
  if (Number.isNaN(atMs) || new Date(atMs).toISOString() !== iso)
    throw refused('it has a malformed time')
  return atMs
}

function oidHex(dotted: string): string {
  return toHex(derOid(dotted).subarray(2))
}

function refused(state: string): SyntaxError {
  return new SyntaxError(`Cannot trust the certificate: ${state}`)
}
