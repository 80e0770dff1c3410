import { encodeUtf8 } from '@stronghold/core'
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { describe, expect, test } from 'vitest'

import {
  formatAgeIdentity,
  formatAgeRecipient,
  parseAgeIdentity,
  parseAgeIdentityFile,
  parseAgeRecipient,
} from '../../src/formats/age-bech32.ts'
import { decryptAge, encryptAge } from '../../src/formats/age.ts'
import type { AgeEncryptOptions, AgeIdentity, AgeRecipient } from '../../src/formats/age.ts'
import {
  DEFAULT_AGE_LOG_N,
  MAX_AGE_HEADER_BYTES,
  MAX_AGE_IDENTITY_FILE_BYTES,
  MAX_AGE_LOG_N,
  MAX_AGE_STANZAS,
  MAX_AGE_WHITESPACE_BYTES,
  MIN_AGE_LOG_N,
} from '../../src/limits.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

const CHUNK = 65_536
const passphrase = encodeUtf8('four words of phrase')

async function all(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of source) parts.push(Uint8Array.from(part))
  return new Uint8Array(Buffer.concat(parts))
}

const encrypt = (
  slab: Slab,
  recipients: AgeRecipient[],
  plaintext: Uint8Array,
  options?: AgeEncryptOptions,
): Promise<Uint8Array> => all(encryptAge(slab, recipients, [plaintext], options))
const decrypt = (slab: Slab, who: AgeIdentity[], file: Uint8Array): Promise<Uint8Array> =>
  all(decryptAge(slab, who, [file]))

function someone(slab: Slab): { identity: AgeIdentity; recipient: AgeRecipient } {
  const secret = slab.random(32)
  return {
    identity: { type: 'x25519', secretKey: secret.bytes },
    recipient: { type: 'x25519', publicKey: publicKey(secret.bytes) },
  }
}

const sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]

describe.each([false, true])('with armor: %s', (armor) => {
  test.each(sizes)('%i bytes come back, and all memory with them', async (size) => {
    using slab = new Slab({ bytes: 512 * 1024 })
    const [one, two, three] = [someone(slab), someone(slab), someone(slab)]
    const before = slab.used
    const plaintext = new Uint8Array(size).map((_, i) => i)
    const file = await encrypt(slab, [one.recipient, two.recipient], plaintext, { armor })
    for (const { identity } of [one, two]) {
      expect(Buffer.compare(await decrypt(slab, [three.identity, identity], file), plaintext)).toBe(
        0,
      )
    }
    await expect(decrypt(slab, [three.identity], file)).rejects.toMatchObject({
      code: 'unauthenticated',
      reason: 'unlock_failed',
    })
    expect(slab.used).toBe(before)
  })

  test.each(sizes)('another implementation reads %i bytes, and is read', async (size) => {
    using slab = new Slab({ bytes: 512 * 1024 })
    const text = await generateX25519Identity()
    using secret = parseAgeIdentity(slab, encodeUtf8(text))
    const recipient = await identityToRecipient(text)
    const plaintext = new Uint8Array(size).fill(7)
    const mine = { type: 'x25519' as const, publicKey: parseAgeRecipient(recipient) }
    const theirs = new Decrypter()
    theirs.addIdentity(text)
    if (!armor) {
      expect(
        Buffer.compare(await theirs.decrypt(await encrypt(slab, [mine], plaintext)), plaintext),
      ).toBe(0)
    }
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    const file = await encrypter.encrypt(plaintext)
    const who: AgeIdentity[] = [{ type: 'x25519', secretKey: secret.bytes }]
    expect(Buffer.compare(await decrypt(slab, who, file), plaintext)).toBe(0)
  })
})

test('a passphrase opens here and in another implementation, both ways', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const file = await encrypt(
    slab,
    [{ type: 'scrypt', passphrase, logN: MIN_AGE_LOG_N }],
    passphrase,
  )
  const theirs = new Decrypter()
  theirs.addPassphrase('four words of phrase')
  expect(await theirs.decrypt(file)).toEqual(passphrase)
  const encrypter = new Encrypter()
  encrypter.setPassphrase('four words of phrase')
  encrypter.setScryptWorkFactor(11)
  const back = await encrypter.encrypt(passphrase)
  expect(await decrypt(slab, [{ type: 'scrypt', passphrase }], back)).toEqual(passphrase)
  await expect(
    decrypt(slab, [{ type: 'scrypt', passphrase: encodeUtf8('another') }], back),
  ).rejects.toMatchObject({ reason: 'unlock_failed' })
  await expect(decrypt(slab, [{ type: 'scrypt', passphrase, maxLogN: 10 }], back)).rejects.toThrow(
    RangeError,
  )
})

test('the work factor is bounded both ways before it is computed', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  expect(DEFAULT_AGE_LOG_N).toBe(18)
  for (const logN of [MIN_AGE_LOG_N - 1, MAX_AGE_LOG_N + 1, 12.5]) {
    const recipient: AgeRecipient = { type: 'scrypt', passphrase, logN }
    await expect(encrypt(slab, [recipient], passphrase)).rejects.toThrow(RangeError)
  }
  const over = encodeUtf8(
    `age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA ${MAX_AGE_LOG_N + 1}\n${'A'.repeat(43)}\n--- ${'A'.repeat(43)}\n${' '.repeat(16)}`,
  )
  await expect(decrypt(slab, [{ type: 'scrypt', passphrase }], over)).rejects.toThrow(RangeError)
})

test('recipients that cannot stand together are refused before anything is written', () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const scrypt: AgeRecipient = { type: 'scrypt', passphrase }
  expect(() => encryptAge(slab, [], [])).toThrow(TypeError)
  expect(() => encryptAge(slab, [scrypt, someone(slab).recipient], [])).toThrow(TypeError)
  expect(() => encryptAge(slab, [scrypt, scrypt], [])).toThrow(TypeError)
})

test('flipped, cut, reordered, doubled and lengthened files are refused with the place named', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const { identity, recipient } = someone(slab)
  const before = slab.used
  const plaintext = new Uint8Array(2 * CHUNK + 100).map((_, i) => i % 251)
  const file = await encrypt(slab, [recipient], plaintext)
  const sealed = CHUNK + 16
  const payload = file.byteLength - (2 * sealed + 116)
  const chunk = (i: number): Uint8Array =>
    file.subarray(payload + i * sealed, payload + (i + 1) * sealed)
  const head = file.subarray(0, payload)
  const flipped = (at: number): Uint8Array => {
    const copy = file.slice()
    copy[at]! ^= 1
    return copy
  }
  const cases: [string, Uint8Array, RegExp][] = [
    ['flipped in the second chunk', flipped(payload + sealed + 9), /chunk 2 is changed/],
    ['flipped in the last chunk', flipped(file.byteLength - 1), /chunk 3 is changed/],
    ['flipped in the nonce', flipped(payload - 1), /chunk 1 is changed/],
    ['cut at a chunk', file.subarray(0, payload + sealed), /ends before chunk 2/],
    ['cut inside a chunk', file.subarray(0, payload + sealed + 99), /chunk 2 is changed/],
    ['without the last chunk', file.subarray(0, payload + 2 * sealed), /ends before chunk 3/],
    ['reordered', Buffer.concat([head, chunk(1), chunk(0), chunk(2)]), /chunk 1 is changed/],
    [
      'doubled',
      Buffer.concat([head, chunk(0), chunk(0), chunk(1), chunk(2)]),
      /chunk 2 is changed/,
    ],
    ['one left out', Buffer.concat([head, chunk(0), chunk(2)]), /chunk 2 is changed/],
    ['lengthened', Buffer.concat([file, Uint8Array.of(0)]), /chunk 3 is changed/],
    ['without chunks', head, /ends before chunk 1/],
  ]
  for (const [name, bytes, message] of cases) {
    await expect(decrypt(slab, [identity], bytes), name).rejects.toMatchObject({
      code: 'data_loss',
      reason: 'damaged',
      message: expect.stringMatching(message),
    })
  }
  const exact = await encrypt(slab, [recipient], plaintext.subarray(0, CHUNK))
  const longer = Buffer.concat([exact, Uint8Array.of(0)])
  await expect(decrypt(slab, [identity], longer)).rejects.toThrow(/something follows chunk 1/)
  const short = await encrypt(slab, [recipient], passphrase)
  for (let at = 0; at < short.byteLength; at++) {
    const copy = short.slice()
    copy[at]! ^= 1
    await expect(decrypt(slab, [identity], copy)).rejects.toThrow(/Cannot (read|open|agree)/)
  }
  expect(slab.used).toBe(before)
})

test('who stops reading gives the memory back, and the source is told', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const { identity, recipient } = someone(slab)
  const before = slab.used
  const file = await encrypt(slab, [recipient], new Uint8Array(3 * CHUNK))
  let told = false
  function* source(): Generator<Uint8Array> {
    try {
      for (let at = 0; at < file.byteLength; at += 1000) yield file.subarray(at, at + 1000)
    } finally {
      told = true
    }
  }
  for await (const _ of decryptAge(slab, [identity], source())) break
  expect(told).toBe(true)
  expect(slab.used).toBe(before)
})

test('a header may hold MAX_AGE_STANZAS recipients and MAX_AGE_HEADER_BYTES bytes, no more', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const head = (stanzas: number): Uint8Array =>
    encodeUtf8(
      `age-encryption.org/v1\n${'-> other\nAAAA\n'.repeat(stanzas)}--- ${'A'.repeat(43)}\n${' '.repeat(16)}`,
    )
  const { identity } = someone(slab)
  await expect(decrypt(slab, [identity], head(MAX_AGE_STANZAS))).rejects.toMatchObject({
    reason: 'unlock_failed',
  })
  await expect(decrypt(slab, [identity], head(MAX_AGE_STANZAS + 1))).rejects.toThrow(
    /more than 1024/,
  )
  const endless = function* (): Generator<Uint8Array> {
    yield encodeUtf8('age-encryption.org/v1\n-> ')
    for (;;) yield new Uint8Array(4096).fill(0x61)
  }
  await expect(all(decryptAge(slab, [identity], endless()))).rejects.toThrow(
    new RegExp(`longer than ${MAX_AGE_HEADER_BYTES}`),
  )
})

test('white space around an armor ends at MAX_AGE_WHITESPACE_BYTES', async () => {
  using slab = new Slab({ bytes: 512 * 1024 })
  const { identity, recipient } = someone(slab)
  const file = await encrypt(slab, [recipient], passphrase, { armor: true })
  const around = (before: number, after: number): Uint8Array =>
    Buffer.concat([Buffer.alloc(before, '\n'), file, Buffer.alloc(after, ' ')])
  const most = MAX_AGE_WHITESPACE_BYTES
  expect(await decrypt(slab, [identity], around(most, most))).toEqual(passphrase)
  for (const [before, after] of [
    [most + 1, 0],
    [0, most + 1],
  ] as const) {
    await expect(decrypt(slab, [identity], around(before, after))).rejects.toThrow(RangeError)
  }
})

test('identities and recipients are read and written as age writes them', () => {
  using slab = new Slab({ bytes: 64 * 1024 })
  // age-encryption.org/v1, "The X25519 recipient type".
  const identity = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX'
  const recipient = 'age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj'
  using secret = parseAgeIdentity(slab, encodeUtf8(identity))
  expect(new Uint8Array(secret.bytes)).toEqual(new Uint8Array(32).fill(0x42))
  expect(formatAgeRecipient(publicKey(secret.bytes))).toBe(recipient)
  expect(parseAgeRecipient(recipient)).toEqual(publicKey(secret.bytes))
  using text = formatAgeIdentity(slab, secret.bytes)
  expect(Buffer.from(text.bytes).toString()).toBe(identity)
  for (let i = 0; i < identity.length; i++) {
    for (const digit of ['Q', 'q', '1', 'B']) {
      if (identity[i] === digit) continue
      const changed = identity.slice(0, i) + digit + identity.slice(i + 1)
      expect(() => parseAgeIdentity(slab, encodeUtf8(changed))).toThrow(SyntaxError)
    }
  }
  for (const bad of ['', identity.toLowerCase(), `${identity} `, identity.slice(1)]) {
    expect(() => parseAgeIdentity(slab, encodeUtf8(bad))).toThrow(SyntaxError)
  }
  expect(() => parseAgeRecipient(recipient.toUpperCase())).toThrow(SyntaxError)
})

test('an identity file has comments and empty lines, at least one identity, and an end', () => {
  using slab = new Slab({ bytes: 64 * 1024 })
  const identity = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX'
  const file = encodeUtf8(`# created: today\n\n${identity}\r\n${identity}`)
  const found = parseAgeIdentityFile(slab, file)
  expect(found).toHaveLength(2)
  for (const secret of found) secret.wipe()
  expect(() => parseAgeIdentityFile(slab, encodeUtf8('# none\n'))).toThrow(/there is none/)
  expect(() => parseAgeIdentityFile(slab, encodeUtf8(`${identity}\nno\n`))).toThrow(/line 2/)
  const long = new Uint8Array(MAX_AGE_IDENTITY_FILE_BYTES + 1).fill(0x0a)
  expect(() => parseAgeIdentityFile(slab, long)).toThrow(RangeError)
  expect(slab.used).toBe(0)
})
