/**
 * SSHSIG, OpenSSH's signatures over files (PROTOCOL.sshsig): the bytes that are signed, and the armoured signature that
 * `ssh-keygen -Y verify` and git read. Both are read as well, to verify and to show people what they approve. It signs
 * and verifies nothing.
 */
import { createHash } from 'node:crypto'

import { concat, encodeUtf8, equalBytes } from '@stronghold/core'

import { readPublicPem, writePem } from './pem.ts'
import { readSshBlob, readSshSignature, writeSshBlob, writeSshSignature } from './ssh-public.ts'
import type { SshPublicKey } from './ssh-public.ts'
import { isPrintable, SshReader, sshString, sshUint32 } from './ssh-wire.ts'

/** The two hashes that SSHSIG knows. */
export type SshsigHash = 'sha256' | 'sha512'

/** What a signature is about. */
export interface SshsigSubject {
  /** What the signature is for, as `git` or `file`: 1 to 255 bytes of text without control characters. */
  readonly namespace: string
  readonly hash: SshsigHash
  /** The hash of the message: 32 or 64 bytes. */
  readonly digest: Uint8Array
}

/** A signature as the armoured file holds it. Nobody has verified it yet. */
export interface Sshsig {
  readonly key: SshPublicKey
  readonly namespace: string
  readonly hash: SshsigHash
  /** 64 bytes of Ed25519, or r ‖ s of fixed width. */
  readonly signature: Uint8Array
}

const MAGIC = encodeUtf8('SSHSIG')
const VERSION = 1
const LABEL = 'SSH SIGNATURE'
/** What `ssh-keygen` writes in a line. */
const COLUMNS = 70

const DIGEST_BYTES: Readonly<Record<SshsigHash, number>> = { sha256: 32, sha512: 64 }

/** Hashes a message that is at hand as a whole; a streamed one comes with its digest. */
export function sshsigSubject(
  namespace: string,
  message: Uint8Array,
  hash: SshsigHash = 'sha512',
): SshsigSubject {
  return { namespace, hash, digest: Uint8Array.from(createHash(hash).update(message).digest()) }
}

/**
 * The bytes that are signed.
 *
 * @throws `SyntaxError` for a namespace that is empty, too long or not printable, `RangeError` for a digest of another
 *   length
 */
export function writeSshsigBlob(subject: SshsigSubject): Uint8Array {
  const { hash, digest } = subject
  if (digest.byteLength !== DIGEST_BYTES[hash]) {
    throw new RangeError(`Cannot write SSHSIG: ${digest.byteLength} bytes are no ${hash}`)
  }
  return concat([
    MAGIC,
    sshString(checkedNamespace(subject.namespace)),
    sshString(''),
    sshString(hash),
    sshString(digest),
  ])
}

/**
 * Reads the bytes that are signed.
 *
 * @throws `SyntaxError` for anything else, also where the field that is reserved is in use
 */
export function readSshsigBlob(bytes: Uint8Array): SshsigSubject {
  const reader = new SshReader(bytes, 'SSHSIG')
  if (!equalBytes(reader.take(MAGIC.byteLength), MAGIC)) throw reader.refuse('no "SSHSIG"')
  const namespace = readNamespace(reader)
  reader.expect('')
  const hash = readHash(reader)
  const digest = Uint8Array.from(reader.string())
  if (digest.byteLength !== DIGEST_BYTES[hash]) throw reader.refuse(`no ${hash}`)
  reader.end()
  return { namespace, hash, digest }
}

/**
 * Writes the armoured signature, with a line end after each line.
 *
 * @throws `TypeError`, `RangeError` for a key or a signature of another form, `SyntaxError` for the namespace as
 *   `writeSshsigBlob`
 */
export function writeSshsig(sshsig: Sshsig): string {
  const { key, hash, signature } = sshsig
  const blob = concat([
    MAGIC,
    sshUint32(VERSION),
    sshString(writeSshBlob(key)),
    sshString(checkedNamespace(sshsig.namespace)),
    sshString(''),
    sshString(hash),
    sshString(writeSshSignature(key.type, signature)),
  ])
  return writePem(LABEL, blob, COLUMNS)
}

/**
 * Reads an armoured signature. To verify it: `writeSshsigBlob` with its namespace and hash and the message's digest
 * gives the bytes that it signs; the namespace must be the one that the caller expects.
 *
 * @param text - a whole file, at most `MAX_KEY_FILE_BYTES`
 * @throws `SyntaxError` for a type of key that is not supported, or what is malformed; `RangeError` for a longer text
 */
export function readSshsig(text: Uint8Array): Sshsig {
  const reader = new SshReader(readPublicPem(text, [LABEL]).der, 'SSHSIG')
  if (!equalBytes(reader.take(MAGIC.byteLength), MAGIC)) throw reader.refuse('no "SSHSIG"')
  if (reader.uint32() !== VERSION) throw reader.refuse('an unknown version')
  const key = readSshBlob(reader.string())
  const namespace = readNamespace(reader)
  reader.expect('')
  const hash = readHash(reader)
  const { type, signature } = readSshSignature(reader.string())
  reader.end()
  if (type !== key.type) throw reader.refuse('key and signature of different types')
  return { key, namespace, hash, signature }
}

function checkedNamespace(namespace: string): string {
  if (namespace === '' || encodeUtf8(namespace).byteLength > 255 || !isPrintable(namespace)) {
    throw new SyntaxError(
      `Cannot write SSHSIG: ${JSON.stringify(namespace.slice(0, 64))} is no namespace`,
    )
  }
  return namespace
}

function readNamespace(reader: SshReader): string {
  const namespace = reader.text()
  if (namespace === '') throw reader.refuse('an empty namespace')
  return namespace
}

function readHash(reader: SshReader): SshsigHash {
  const hash = reader.text()
  if (hash !== 'sha256' && hash !== 'sha512') throw reader.refuse('an unknown hash')
  return hash
}
