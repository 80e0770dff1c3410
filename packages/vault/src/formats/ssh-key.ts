/**
 * OpenSSH's private keys (PROTOCOL.key), plain and encrypted. Everything secret stays in secret memory. The public half
 * is handed over as a claim and never believed.
 */
import { equalBytes } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { MAX_BCRYPT_ROUNDS } from '../limits.ts'
import type { Secret, Slab } from '../secret.ts'
import { bcryptPbkdf } from './bcrypt.ts'
import { SECRET_KEY_BYTES } from './key-pairs.ts'
import { readPem } from './pem.ts'
import type { PrivateKeyParts } from './pkcs8.ts'
import { sshCipher } from './ssh-cipher.ts'
import type { SshCipher } from './ssh-cipher.ts'
import { readSshBlob, readSshKeyFields } from './ssh-public.ts'
import type { SshPublicKey, SshType } from './ssh-public.ts'
import { equalText, SshReader } from './ssh-wire.ts'

/** A private key that was read, with the public half that the file claims. */
export interface SshPrivateKey extends PrivateKeyParts {
  readonly type: SshType
  readonly claimedPublic: Uint8Array
}

/** What an encrypted key needs. */
export interface SshKeyOptions {
  /** As bytes. An empty one is none. */
  readonly passphrase?: Uint8Array
  /** Gives up while the key is derived. */
  readonly signal?: AbortSignal
}

const WHAT = 'OpenSSH private key'
const MAGIC = 'openssh-key-v1\0'

/**
 * Reads a private key as `ssh-keygen` writes it. Deriving the key of an encrypted one takes a while (`MAX_BCRYPT_ROUNDS`)
 * and gives the event loop back in between; `text` and the passphrase are not looked at after the first wait.
 *
 * @param text - a whole file, at most `MAX_KEY_FILE_BYTES`
 * @throws `SyntaxError` for what is not supported or malformed, `RangeError` for a longer text or too many rounds,
 *   `VaultError` `failed_precondition` where a passphrase is missing, `unauthenticated` where it is wrong
 */
export async function readSshKey(
  text: Uint8Array,
  slab: Slab,
  options: SshKeyOptions = {},
): Promise<SshPrivateKey> {
  using file = readPem(text, slab, ['OPENSSH PRIVATE KEY']).der
  const { publicKey, sealed, kdf } = readFile(file.bytes)
  if (kdf === undefined) {
    if (sealed.byteLength % 8 !== 0) throw new SyntaxError(`Cannot read ${WHAT}: no whole blocks`)
    return readPrivate(sealed, publicKey, slab)
  }
  const { passphrase, signal } = options
  if (passphrase === undefined || passphrase.byteLength === 0) {
    throw new VaultError(
      'failed_precondition',
      `Cannot read ${WHAT}: it is encrypted, and no passphrase was given`,
    )
  }
  const { cipher } = kdf
  using key = await bcryptPbkdf(
    passphrase,
    { ...kdf, ...(signal !== undefined && { signal }) },
    cipher.keyBytes + cipher.ivBytes,
    slab,
  )
  // Read again: no view may outlive a wait.
  const again = readFile(file.bytes)
  using plain = slab.take(again.sealed.byteLength)
  const opened = cipher.open(key.bytes, again.sealed, again.tag, plain.bytes, slab)
  if (!opened || !checksAgree(plain.bytes)) {
    throw new VaultError('unauthenticated', `Cannot read ${WHAT}: wrong passphrase`)
  }
  return readPrivate(plain.bytes, publicKey, slab)
}

/** How the key of an encrypted file is derived. */
interface Kdf {
  readonly cipher: SshCipher
  readonly salt: Uint8Array
  readonly rounds: number
}

/** A file as it lies there: views. */
interface SshKeyFile {
  readonly publicKey: SshPublicKey
  readonly sealed: Uint8Array
  readonly tag: Uint8Array
  /** Undefined for a plain one. */
  readonly kdf: Kdf | undefined
}

function readFile(bytes: Uint8Array): SshKeyFile {
  const reader = new SshReader(bytes, WHAT)
  if (!equalText(reader.take(MAGIC.length), MAGIC)) throw reader.refuse('it does not begin as one')
  const cipherName = reader.text()
  const kdfName = reader.text()
  const options = reader.string()
  if (reader.uint32() !== 1) throw reader.refuse('not just one key')
  const publicKey = readSshBlob(reader.string())
  const sealed = reader.string()
  if (cipherName === 'none' && kdfName === 'none') {
    if (options.byteLength > 0) throw reader.refuse('options of a KDF that is none')
    reader.end()
    return { publicKey, sealed, tag: new Uint8Array(0), kdf: undefined }
  }
  const cipher = sshCipher(cipherName)
  if (cipher === undefined || kdfName !== 'bcrypt') {
    throw reader.refuse(
      `cipher "${cipherName.slice(0, 64)}" with "${kdfName.slice(0, 64)}" is not supported; type: ssh-keygen -p -Z aes256-ctr -f FILE`,
    )
  }
  const tag = reader.take(cipher.tagBytes)
  reader.end()
  if (sealed.byteLength === 0 || sealed.byteLength % cipher.blockBytes !== 0) {
    throw reader.refuse('no whole blocks')
  }
  const inside = new SshReader(options, WHAT)
  const salt = inside.string()
  const rounds = inside.uint32()
  inside.end()
  if (salt.byteLength === 0 || salt.byteLength > 1024 || rounds === 0)
    throw inside.refuse('a KDF without salt or rounds')
  if (rounds > MAX_BCRYPT_ROUNDS) {
    throw new RangeError(
      `Cannot read ${WHAT}: ${rounds} rounds, at most ${MAX_BCRYPT_ROUNDS} are computed; type: ssh-keygen -p -a 100 -f FILE`,
    )
  }
  return { publicKey, sealed, tag, kdf: { cipher, salt, rounds } }
}

/** Two numbers that are the same tell that the passphrase was right. */
function checksAgree(plain: Uint8Array): boolean {
  return plain.byteLength >= 8 && equalBytes(plain.subarray(0, 4), plain.subarray(4, 8))
}

/** The part that may be encrypted. */
function readPrivate(plain: Uint8Array, outside: SshPublicKey, slab: Slab): SshPrivateKey {
  if (!checksAgree(plain)) throw new SyntaxError(`Cannot read ${WHAT}: its two checks differ`)
  const reader = new SshReader(plain, WHAT)
  reader.take(8)
  const { type, publicKey } = readSshKeyFields(reader)
  if (type !== outside.type || !equalBytes(publicKey, outside.publicKey)) {
    throw reader.refuse('its public key is not the one outside')
  }
  const secretKey = slab.take(SECRET_KEY_BYTES[type])
  try {
    readSecretHalf(reader, type, publicKey, secretKey)
    // The comment is for people, and nobody vouches for it.
    reader.string()
    readPadding(reader)
    return { type, secretKey, claimedPublic: publicKey }
  } catch (error) {
    secretKey.wipe()
    throw error
  }
}

function readSecretHalf(
  reader: SshReader,
  type: SshType,
  publicKey: Uint8Array,
  into: Secret,
): void {
  if (type !== 'ed25519') {
    reader.mpintInto(into.bytes)
    return
  }
  const expanded = reader.string()
  if (expanded.byteLength !== 64 || !equalBytes(expanded.subarray(32), publicKey)) {
    throw reader.refuse('a secret half that does not end in the public one')
  }
  into.bytes.set(expanded.subarray(0, 32))
}

/** 1, 2, 3 … up to a whole block, which is 16 bytes at most. */
function readPadding(reader: SshReader): void {
  const padding = reader.take(reader.left)
  if (padding.byteLength >= 16 || !padding.every((byte, i) => byte === i + 1)) {
    throw reader.refuse('wrong padding')
  }
}
