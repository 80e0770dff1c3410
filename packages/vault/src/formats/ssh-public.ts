/**
 * Public keys and signatures as SSH writes them: the blob (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4), the line of
 * `authorized_keys`, the line of an allowed-signers file, the fingerprint. Points are uncompressed.
 */
import { createHash } from 'node:crypto'

import { assertBytes, concat, encodeUtf8 } from '@stronghold/core'

import { decodeBase64, decodedBase64Length, encodeBase64 } from './base64.ts'
import { signedInteger } from './ecdsa-signature.ts'
import { assertPublicKey, isPublicKey, SECRET_KEY_BYTES } from './key-pairs.ts'
import type { PublicKeyParts } from './spki.ts'
import { isPrintable, SshReader, sshString } from './ssh-wire.ts'

/** The types of key that both OpenSSH and this package know. */
export type SshType = 'ed25519' | 'p256' | 'p384'

/** A public key that SSH can name. */
export interface SshPublicKey extends PublicKeyParts {
  readonly type: SshType
}

/** A line of `authorized_keys` with single spaces, or the content of an `id_….pub`. */
export interface SshLine extends SshPublicKey {
  /** What stands behind the key; often a person and a machine, and nobody vouches for it. */
  readonly comment: string
}

const NAMES: Readonly<Record<SshType, string>> = {
  ed25519: 'ssh-ed25519',
  p256: 'ecdsa-sha2-nistp256',
  p384: 'ecdsa-sha2-nistp384',
}

/** The curve's own name, which stands in the blob beside that of the type (RFC 5656 §6.1). */
const CURVES: Readonly<Record<SshType, string | undefined>> = {
  ed25519: undefined,
  p256: 'nistp256',
  p384: 'nistp384',
}

const TYPES = ['ed25519', 'p256', 'p384'] as const satisfies readonly SshType[]

/** The type that SSH calls so, undefined where it is none of ours. */
export function sshTypeOf(name: string): SshType | undefined {
  return TYPES.find((type) => NAMES[type] === name)
}

/**
 * Writes the blob of a public key.
 *
 * @throws `TypeError` for bytes that are no such key
 */
export function writeSshBlob({ type, publicKey }: SshPublicKey): Uint8Array {
  assertPublicKey(type, publicKey)
  const curve = CURVES[type]
  return concat([
    sshString(NAMES[type]),
    ...(curve === undefined ? [] : [sshString(curve)]),
    sshString(publicKey),
  ])
}

/**
 * Reads the blob of a public key.
 *
 * @throws `SyntaxError` for a type that is not supported, or what is malformed
 */
export function readSshBlob(blob: Uint8Array): SshPublicKey {
  const reader = new SshReader(blob, 'SSH public key')
  const key = readSshKeyFields(reader)
  reader.end()
  return key
}

/** Reads the type and the public key that begin a blob, and a private key too. @throws as `readSshBlob` */
export function readSshKeyFields(reader: SshReader): SshPublicKey {
  const type = readType(reader)
  const curve = CURVES[type]
  if (curve !== undefined) reader.expect(curve)
  const publicKey = Uint8Array.from(reader.string())
  if (!isPublicKey(type, publicKey)) throw reader.refuse(`no ${NAMES[type]} key`)
  return { type, publicKey }
}

/**
 * Writes the blob of a signature.
 *
 * @param signature - 64 bytes of Ed25519, or r ‖ s of fixed width
 * @throws `RangeError` for another length
 */
export function writeSshSignature(type: SshType, signature: Uint8Array): Uint8Array {
  const width = SECRET_KEY_BYTES[type]
  assertBytes(signature, `${type} signature`, 2 * width)
  const inner =
    type === 'ed25519'
      ? signature
      : concat([mpint(signature.subarray(0, width)), mpint(signature.subarray(width))])
  return concat([sshString(NAMES[type]), sshString(inner)])
}

/**
 * Reads the blob of a signature: 64 bytes of Ed25519, or r ‖ s of fixed width.
 *
 * @throws `SyntaxError` for a type that is not supported, or what is malformed
 */
export function readSshSignature(blob: Uint8Array): { type: SshType; signature: Uint8Array } {
  const reader = new SshReader(blob, 'SSH signature')
  const type = readType(reader)
  const inner = reader.string()
  reader.end()
  const width = SECRET_KEY_BYTES[type]
  const signature = new Uint8Array(2 * width)
  if (type === 'ed25519') {
    if (inner.byteLength !== signature.byteLength) throw reader.refuse('no Ed25519 signature')
    signature.set(inner)
  } else {
    const halves = new SshReader(inner, 'SSH signature')
    halves.mpintInto(signature.subarray(0, width))
    halves.mpintInto(signature.subarray(width))
    halves.end()
  }
  return { type, signature }
}

/**
 * Writes the line of `authorized_keys`, without a line end.
 *
 * @param comment - one line, may be empty. Default empty
 * @throws `TypeError` for bytes that are no such key, `SyntaxError` for a comment of several lines
 */
export function writeSshLine(key: SshPublicKey, comment = ''): string {
  if (!isPrintable(comment))
    throw new SyntaxError('Cannot write SSH public key: comment of several lines')
  const line = `${NAMES[key.type]} ${encodeBase64(writeSshBlob(key))}`
  return comment === '' ? line : `${line} ${comment}`
}

/**
 * Reads the line of `authorized_keys` without options, as an `id_….pub` holds it.
 *
 * @param line - may end in a line end
 * @throws `SyntaxError` for a type that is not supported, or what is malformed
 */
export function readSshLine(line: string): SshLine {
  const [, name, text, comment = ''] =
    /^([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/=]{1,1024})(?: ([^\r\n]*))?(?:\r?\n)?$/.exec(line) ?? []
  if (name === undefined || text === undefined) {
    throw new SyntaxError('Cannot read SSH public key: not a line of type, key and comment')
  }
  const characters = encodeUtf8(text)
  const blob = new Uint8Array(decodedBase64Length(characters))
  decodeBase64(characters, blob)
  const key = readSshBlob(blob)
  if (NAMES[key.type] !== name) {
    throw new SyntaxError(`Cannot read SSH public key: "${name}" and the key do not agree`)
  }
  return { ...key, comment: comment.trim() }
}

/** Whom an allowed-signers line is about (ssh-keygen(1), ALLOWED SIGNERS). */
export interface AllowedSigner {
  /** Who signs, often a mail address; no spaces, commas or quotes. */
  readonly principal: string
  /** What may be signed, as `git` or `file`; no commas or quotes. Default: anything. */
  readonly namespaces?: readonly string[]
}

/**
 * Writes the line of an allowed-signers file, for `ssh-keygen -Y verify` and git, without a line end.
 *
 * @throws `SyntaxError` for a principal or a namespace that the file cannot hold as it stands
 */
export function writeAllowedSigner(signer: AllowedSigner, key: SshPublicKey): string {
  const { principal, namespaces } = signer
  // Both are patterns in the file: a character of theirs would allow more than was asked for.
  if (!isPrintable(principal) || !/^[^\s,"*?!#][^\s,"*?!]*$/u.test(principal)) {
    throw new SyntaxError(
      `Cannot write allowed signer: "${principal.slice(0, 64)}" is no principal`,
    )
  }
  const wrong = namespaces?.find((name) => !isPrintable(name) || !/^[^,"*?!\\]+$/u.test(name))
  if (wrong !== undefined || namespaces?.length === 0) {
    throw new SyntaxError(
      `Cannot write allowed signer: "${(wrong ?? '').slice(0, 64)}" is no namespace`,
    )
  }
  const option = namespaces === undefined ? '' : `namespaces="${namespaces.join(',')}" `
  return `${principal} ${option}${writeSshLine(key)}`
}

/** What OpenSSH shows people of a key, whatever its type: `SHA256:` and 43 characters. */
export function sshFingerprint(blob: Uint8Array): string {
  return `SHA256:${encodeBase64(createHash('sha256').update(blob).digest(), 'unpadded')}`
}

function readType(reader: SshReader): SshType {
  const name = reader.text()
  const type = sshTypeOf(name)
  if (type === undefined) throw reader.refuse(`type "${name.slice(0, 64)}" is not supported`)
  return type
}

/** RFC 4251 §5: zero is no byte at all. */
function mpint(unsigned: Uint8Array): Uint8Array {
  const signed = signedInteger(unsigned)
  return sshString(signed.every((byte) => byte === 0) ? new Uint8Array(0) : signed)
}
