/**
 * BIP-39: entropy as English words and back, and seeds from words of any language. Words, entropy and seed are bytes in
 * the slab; only `nfkd` below makes a string of a secret, and says when. It derives no keys.
 */
import { compareBytes, encodeUtf8 } from '@stronghold/core'

import { MAX_MNEMONIC_BYTES } from '../limits.ts'
import { pbkdf2 } from '../primitives/pbkdf2.ts'
import type { Secret, Slab } from '../secret.ts'
import { sodium } from '../sodium.ts'

import { ENGLISH_WORDS } from './bip39-english.ts'
import { filled } from './filled.ts'

// BIP-39 "Generating the mnemonic" and "From mnemonic to seed".
const WORD_BITS = 11
const ROUNDS = 2048
const SALT = encodeUtf8('mnemonic')

/** Bytes of a seed. */
export const SEED_BYTES = 64

/** Lengths that entropy may have, in bytes: 12, 15, 18, 21 and 24 words. */
export const ENTROPY_BYTES: readonly number[] = [16, 20, 24, 28, 32]

const SPACE = 0x20
const WORDS: readonly Uint8Array[] = ENGLISH_WORDS.split(' ').map((word) => encodeUtf8(word))

/**
 * Entropy as English words, ASCII with single spaces.
 *
 * @param entropy - one of `ENTROPY_BYTES`
 * @throws `RangeError` for another length
 */
export function mnemonicFromEntropy(slab: Slab, entropy: Uint8Array): Secret {
  if (!ENTROPY_BYTES.includes(entropy.byteLength)) {
    throw new RangeError(
      `Cannot make words: ${entropy.byteLength} bytes of entropy, not ${ENTROPY_BYTES.join(', ')}`,
    )
  }
  using bits = withChecksum(slab, entropy)
  const count = wordCount(entropy.byteLength)
  const word = (i: number): Uint8Array => WORDS[readBits(bits.bytes, i * WORD_BITS)] as Uint8Array
  let length = count - 1
  for (let i = 0; i < count; i++) length += word(i).byteLength
  return filled(slab, length, (out) => {
    for (let i = 0, at = 0; i < count; i++) {
      if (i > 0) out[at++] = SPACE
      out.set(word(i), at)
      at += word(i).byteLength
    }
  })
}

/**
 * The entropy behind English words, whose checksum must be right.
 *
 * @param words - lower-case ASCII with single spaces, nothing around
 * @throws `SyntaxError` naming the number of the word, never the word
 */
export function entropyFromMnemonic(slab: Slab, words: Uint8Array): Secret {
  const count = countWords(words)
  const length = (count * WORD_BITS - count / 3) / 8
  using bits = slab.take(length + 1)
  let from = 0
  for (let i = 0; i < count; i++) {
    const space = words.indexOf(SPACE, from)
    const to = space === -1 ? words.byteLength : space
    const index = indexOfWord(words.subarray(from, to))
    if (index < 0) {
      throw new SyntaxError(`Cannot read mnemonic: word ${i + 1} is not in the English list`)
    }
    writeBits(bits.bytes, i * WORD_BITS, index)
    from = to + 1
  }
  const entropy = bits.bytes.subarray(0, length)
  using expected = withChecksum(slab, entropy)
  // The checksum has one bit for every three words, at the left of its byte.
  const mask = 0xff & (0xff << (8 - count / 3))
  if ((((expected.bytes[length] ?? 0) ^ (bits.bytes[length] ?? 0)) & mask) !== 0) {
    throw new SyntaxError('Cannot read mnemonic: the checksum is wrong')
  }
  return slab.copy(entropy)
}

/**
 * The seed of words in any language and a passphrase. No word list and no checksum is asked: wallets accept any words.
 *
 * @param words - UTF-8, 12, 15, 18, 21 or 24 of them, with single spaces (or the ideographic ones of Japanese)
 * @param passphrase - UTF-8, may be empty
 * @returns `SEED_BYTES` in the slab
 * @throws `SyntaxError` for another number of words or what is not UTF-8, `RangeError` past `MAX_MNEMONIC_BYTES`
 */
export function seedFromMnemonic(slab: Slab, words: Uint8Array, passphrase: Uint8Array): Secret {
  using normalWords = nfkd(slab, words, 'mnemonic')
  using normalPassphrase = nfkd(slab, passphrase, 'passphrase')
  countWords(normalWords.bytes)
  using salt = slab.take(SALT.byteLength + normalPassphrase.length)
  salt.bytes.set(SALT)
  salt.bytes.set(normalPassphrase.bytes, SALT.byteLength)
  return filled(slab, SEED_BYTES, (out) => {
    pbkdf2('sha512', normalWords.bytes, salt.bytes, ROUNDS, out)
  })
}

/**
 * UTF-8 in normal form KD, a copy in the slab. ASCII is in that form already and stays bytes. For anything else
 * JavaScript knows normal forms only of strings, so the secret passes through a string that nobody can wipe; that is
 * the one place of this module where one does.
 *
 * @throws `SyntaxError` for what is not UTF-8, `RangeError` past `MAX_MNEMONIC_BYTES`
 */
export function nfkd(slab: Slab, text: Uint8Array, what: string): Secret {
  if (text.byteLength > MAX_MNEMONIC_BYTES) {
    throw new RangeError(`Cannot read ${what}: more than ${MAX_MNEMONIC_BYTES} bytes`)
  }
  let seen = 0
  for (const byte of text) seen |= byte
  if (seen < 0x80) return slab.copy(text)
  let string: string
  try {
    string = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text)
  } catch {
    throw new SyntaxError(`Cannot read ${what}: not UTF-8`)
  }
  const normal = string.normalize('NFKD')
  // UTF-8 takes at most three bytes for each unit of a string; some characters grow eighteenfold in this form.
  using room = slab.take(Math.min(normal.length * 3, MAX_NORMAL_BYTES))
  const { written, read } = new TextEncoder().encodeInto(normal, room.bytes)
  if (read < normal.length) {
    throw new RangeError(`Cannot read ${what}: more than ${MAX_NORMAL_BYTES} bytes when normalised`)
  }
  return slab.copy(room.bytes.subarray(0, written))
}

const MAX_NORMAL_BYTES = 4 * MAX_MNEMONIC_BYTES

/** Number of words between single spaces. */
function countWords(words: Uint8Array): number {
  if (words.byteLength > MAX_NORMAL_BYTES) {
    throw new RangeError(`Cannot read mnemonic: more than ${MAX_NORMAL_BYTES} bytes`)
  }
  let count = 0
  for (let at = 0, from = 0; at <= words.byteLength; at++) {
    if (at < words.byteLength && words[at] !== SPACE) continue
    if (at === from) throw new SyntaxError(`Cannot read mnemonic: no word at ${from}`)
    count++
    from = at + 1
  }
  if (count % 3 !== 0 || count < 12 || count > 24) {
    throw new SyntaxError(`Cannot read mnemonic: ${count} words, not 12, 15, 18, 21 or 24`)
  }
  return count
}

function wordCount(entropyBytes: number): number {
  return (entropyBytes * 8 + entropyBytes / 4) / WORD_BITS
}

/** Entropy, then the first byte of its hash, of which the checksum is the beginning. */
function withChecksum(slab: Slab, entropy: Uint8Array): Secret {
  using hash = slab.take(32)
  sodium.crypto_hash_sha256(hash.bytes, entropy)
  return filled(slab, entropy.byteLength + 1, (out) => {
    out.set(entropy)
    out[entropy.byteLength] = hash.bytes[0] as number
  })
}

function readBits(bytes: Uint8Array, from: number): number {
  let value = 0
  for (let bit = from; bit < from + WORD_BITS; bit++) {
    value = (value << 1) | (((bytes[bit >> 3] as number) >> (7 - (bit & 7))) & 1)
  }
  return value
}

function writeBits(bytes: Uint8Array, from: number, value: number): void {
  for (let i = 0; i < WORD_BITS; i++) {
    const bit = from + i
    const at = bit >> 3
    bytes[at] = (bytes[at] as number) | (((value >> (WORD_BITS - 1 - i)) & 1) << (7 - (bit & 7)))
  }
}

/** The list is in order, so eleven comparisons find a word; which ones tells the word. Best effort. */
function indexOfWord(word: Uint8Array): number {
  let low = 0
  let high = WORDS.length
  while (low < high) {
    const middle = (low + high) >> 1
    const order = compareBytes(WORDS[middle] as Uint8Array, word)
    if (order === 0) return middle
    if (order < 0) low = middle + 1
    else high = middle
  }
  return -1
}
