/**
 * age files (age-encryption.org/v1), written and read as streams with memory for one chunk: header, then the payload in
 * chunks of 64 KiB. File key, payload key and plaintext lie in the slab. It knows nothing of what is inside.
 */
import { timingSafeEqual } from 'node:crypto'

import { concat, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { CHACHA20_POLY1305, TAG_BYTES } from '../primitives/aead.ts'
import { hkdf } from '../primitives/hkdf.ts'
import { hmac } from '../primitives/hmac.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

import { beginsArmored, decodeAgeArmor, encodeAgeArmor } from './age-armor.ts'
import { encodeAgeMac, encodeAgeStanzas, readAgeHeader } from './age-header.ts'
import type { AgeHeader } from './age-header.ts'
import { ByteReader } from './age-reader.ts'
import type { ByteSource } from './age-reader.ts'
import {
  AGE_FILE_KEY_BYTES,
  parseAgeStanzas,
  unwrapAgeFileKey,
  wrapAgeFileKey,
} from './age-recipient.ts'
import type { AgeIdentity, AgeRecipient } from './age-recipient.ts'

export type { ByteSource } from './age-reader.ts'
export type { AgeIdentity, AgeRecipient } from './age-recipient.ts'

// age-encryption.org/v1 "Payload".
const CHUNK_BYTES = 64 * 1024
const NONCE_BYTES = 16
const HEADER_INFO = encodeUtf8('header')
const PAYLOAD_INFO = encodeUtf8('payload')
const NOTHING = new Uint8Array(0)

/** How a file is written. */
export interface AgeEncryptOptions {
  /** As text, like `age --armor`. Default false. */
  armor?: boolean
}

/**
 * Writes an age file.
 *
 * @param recipients - at least one; a passphrase only alone
 * @param plaintext - read as fast as the result is; a chunk is not used after the next one was asked for
 * @returns the file in pieces, each of its own memory
 * @throws `TypeError` for recipients that cannot stand together, what `wrapAgeFileKey` throws
 */
export function encryptAge(
  slab: Slab,
  recipients: readonly AgeRecipient[],
  plaintext: ByteSource,
  options: AgeEncryptOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  if (recipients.length === 0) throw new TypeError('Cannot write age file: no recipient')
  if (recipients.length > 1 && recipients.some(({ type }) => type === 'scrypt')) {
    throw new TypeError('Cannot write age file: a passphrase beside other recipients')
  }
  const file = encryptBinary(slab, recipients, plaintext)
  return options.armor === true ? encodeAgeArmor(file) : file
}

async function* encryptBinary(
  slab: Slab,
  recipients: readonly AgeRecipient[],
  plaintext: ByteSource,
): AsyncGenerator<Uint8Array, void, void> {
  await using reader = new ByteReader(plaintext)
  using stream = slab.take(32)
  {
    using fileKey = slab.random(AGE_FILE_KEY_BYTES)
    const stanzas = []
    for (const recipient of recipients) {
      stanzas.push(await wrapAgeFileKey(slab, fileKey.bytes, recipient))
    }
    const authenticated = encodeAgeStanzas(stanzas)
    const mac = encodeAgeMac(macOf(slab, fileKey.bytes, authenticated))
    const nonce = new Uint8Array(NONCE_BYTES)
    sodium.randombytes_buf(nonce)
    hkdf('sha256', fileKey.bytes, { salt: nonce, info: PAYLOAD_INFO }, stream.bytes)
    yield concat([authenticated, mac, nonce])
  }
  using chunk = slab.take(CHUNK_BYTES)
  const counter = new ChunkCounter()
  for (let last = false; !last;) {
    const length = await reader.read(chunk.bytes)
    // A full chunk is the last one if nothing follows: an empty last chunk stands only in an empty file.
    last = length < CHUNK_BYTES || (await reader.peek()) === undefined
    const nonce = counter.nonce(last)
    yield CHACHA20_POLY1305.seal(stream.bytes, nonce, NOTHING, chunk.bytes.subarray(0, length))
    counter.next()
  }
}

/**
 * Reads an age file, armored or not.
 *
 * @param identities - tried in order
 * @returns the plaintext in pieces: views into the slab, each wiped when the next is asked for. What was yielded is
 *   authentic; that nothing is missing is known only when the end is reached without an error.
 * @throws `SyntaxError` naming the line for a header or an armor that is none, `RangeError` over a limit,
 *   `VaultError` `unauthenticated` (`unlock_failed`) where no identity opens it, `data_loss` (`damaged`) naming the
 *   chunk where it was changed, cut or lengthened
 */
export async function* decryptAge(
  slab: Slab,
  identities: readonly AgeIdentity[],
  file: ByteSource,
): AsyncGenerator<Uint8Array, void, void> {
  await using outer = new ByteReader(file)
  const armored = beginsArmored(await outer.peek())
  await using inner = armored ? new ByteReader(decodeAgeArmor(outer)) : undefined
  const reader = inner ?? outer
  using stream = slab.take(32)
  {
    const header = await readAgeHeader(reader)
    using fileKey = await openHeader(slab, identities, header)
    const nonce = new Uint8Array(NONCE_BYTES)
    if ((await reader.read(nonce)) < NONCE_BYTES) {
      throw new SyntaxError('Cannot read age header: the file ends before the payload')
    }
    hkdf('sha256', fileKey.bytes, { salt: nonce, info: PAYLOAD_INFO }, stream.bytes)
  }
  yield* openChunks(slab, stream.bytes, reader)
}

async function* openChunks(
  slab: Slab,
  key: Uint8Array,
  reader: ByteReader,
): AsyncGenerator<Uint8Array, void, void> {
  const sealed = new Uint8Array(CHUNK_BYTES + TAG_BYTES)
  using room = slab.take(CHUNK_BYTES)
  const counter = new ChunkCounter()
  for (let last = false; !last;) {
    const length = await reader.read(sealed)
    const place = `chunk ${counter.value + 1}`
    if (length < TAG_BYTES) throw damaged(`Cannot open age file: it ends before ${place}`)
    last = length < sealed.byteLength
    if (last && length === TAG_BYTES && counter.value > 0) {
      throw damaged(`Cannot open age file: ${place} is empty`)
    }
    const input = sealed.subarray(0, length)
    const plaintext = room.bytes.subarray(0, length - TAG_BYTES)
    let opened = CHACHA20_POLY1305.open(key, counter.nonce(last), NOTHING, input, plaintext)
    if (!opened && !last) {
      last = true
      opened = CHACHA20_POLY1305.open(key, counter.nonce(last), NOTHING, input, plaintext)
    }
    if (!opened) throw damaged(`Cannot open age file: ${place} is changed, moved or cut off`)
    if (plaintext.byteLength > 0) yield plaintext
    sodium.sodium_memzero(plaintext)
    counter.next()
  }
  if ((await reader.peek()) !== undefined) {
    throw damaged(`Cannot open age file: something follows chunk ${counter.value}, its last`)
  }
}

async function openHeader(
  slab: Slab,
  identities: readonly AgeIdentity[],
  header: AgeHeader,
): Promise<Secret> {
  const wrapped = parseAgeStanzas(header.stanzas)
  for (const identity of identities) {
    const fileKey = await unwrapAgeFileKey(slab, wrapped, identity)
    if (fileKey === undefined) continue
    const mac = macOf(slab, fileKey.bytes, header.authenticated)
    if (timingSafeEqual(mac, header.mac)) return fileKey
    fileKey.wipe()
    throw damaged('Cannot open age file: its header was changed')
  }
  throw new VaultError(
    'unauthenticated',
    'Cannot open age file: no identity and no passphrase given opens it',
    { reason: 'unlock_failed' },
  )
}

function macOf(slab: Slab, fileKey: Uint8Array, authenticated: Uint8Array): Uint8Array {
  using key = slab.take(32)
  hkdf('sha256', fileKey, { info: HEADER_INFO }, key.bytes)
  return hmac('sha256', key.bytes, authenticated)
}

/** The nonce of each chunk: a counter of 11 bytes, then whether it is the last. */
class ChunkCounter {
  readonly #nonce = new Uint8Array(12)
  /** Chunks so far. A file of 2⁵³ chunks would have half a zettabyte. */
  value = 0

  next(): void {
    this.value++
  }

  nonce(last: boolean): Uint8Array {
    const view = new DataView(this.#nonce.buffer)
    view.setUint32(3, Math.floor(this.value / 2 ** 32))
    view.setUint32(7, this.value % 2 ** 32)
    this.#nonce[11] = last ? 1 : 0
    return this.#nonce
  }
}

function damaged(message: string): VaultError {
  return new VaultError('data_loss', message, { reason: 'damaged' })
}
