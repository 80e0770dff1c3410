import { AeadId, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import type { AeadInterface } from '@hpke/core'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { encodeUtf8 } from '@stronghold/core'
import { expect, test } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import {
  createHpkeRecipient,
  createHpkeSender,
  HPKE_ENC_BYTES,
  hpkeOpen,
  hpkeSeal,
  HPKE_TAG_BYTES,
} from '../../src/formats/hpke.ts'
import { MAX_HPKE_EXPORT_BYTES, MAX_HPKE_MESSAGES } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'
import type { Secret } from '../../src/secret.ts'
import { sodium } from '../../src/sodium.ts'

const info = encodeUtf8('the two ends')
const plaintext = encodeUtf8('what is said')
const associated = encodeUtf8('beside it')

function keyPair(slab: Slab): { secret: Secret; publicKey: Uint8Array } {
  const secret = slab.random(32)
  const publicKey = new Uint8Array(32)
  sodium.crypto_scalarmult_base(publicKey, secret.bytes)
  return { secret, publicKey }
}

test.each(['base', 'auth'])('one message in mode %s opens and gives all memory back', (mode) => {
  using slab = new Slab({ bytes: 65_536 })
  const recipient = keyPair(slab)
  const sender = keyPair(slab)
  const before = slab.used
  const sealed = hpkeSeal(
    slab,
    {
      recipientPublicKey: recipient.publicKey,
      info,
      ...(mode === 'auth' ? { senderSecretKey: sender.secret.bytes } : {}),
    },
    plaintext,
    associated,
  )
  expect(sealed.byteLength).toBe(HPKE_ENC_BYTES + plaintext.byteLength + HPKE_TAG_BYTES)
  const init = {
    recipientSecretKey: recipient.secret.bytes,
    info,
    ...(mode === 'auth' ? { senderPublicKey: sender.publicKey } : {}),
  }
  {
    using opened = hpkeOpen(slab, init, sealed, associated)
    expect(new Uint8Array(opened.bytes)).toEqual(plaintext)
  }
  for (let at = 0; at < sealed.byteLength; at++) {
    const changed = sealed.slice()
    changed[at]! ^= 0x40
    expect(() => hpkeOpen(slab, init, changed, associated)).toThrow(/Cannot (open|agree)/)
  }
  const refused: [object, Uint8Array][] = [
    [{ ...init, info: encodeUtf8('the two end') }, associated],
    [init, encodeUtf8('beside')],
    [{ ...init, recipientSecretKey: sender.secret.bytes }, associated],
    [{ ...init, senderPublicKey: recipient.publicKey }, associated],
    [
      mode === 'auth'
        ? { recipientSecretKey: init.recipientSecretKey, info }
        : { ...init, senderPublicKey: sender.publicKey },
      associated,
    ],
  ]
  for (const [other, aad] of refused) {
    let error: unknown
    try {
      hpkeOpen(slab, other as typeof init, sealed, aad)
    } catch (thrown) {
      error = thrown
    }
    expect(isVaultError(error, { code: 'unauthenticated' })).toBe(true)
  }
  expect(slab.used).toBe(before)
})

test('too short and of low order is refused as invalid, with all memory given back', () => {
  using slab = new Slab({ bytes: 65_536 })
  const { secret, publicKey } = keyPair(slab)
  const before = slab.used
  const init = { recipientSecretKey: secret.bytes, info }
  for (const bad of [new Uint8Array(HPKE_ENC_BYTES + HPKE_TAG_BYTES - 1), new Uint8Array(48)]) {
    expect(() => hpkeOpen(slab, init, bad)).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  }
  expect(() => createHpkeSender(slab, { recipientPublicKey: new Uint8Array(32), info })).toThrow(
    expect.objectContaining({ code: 'invalid_argument' }),
  )
  expect(() =>
    hpkeOpen(slab, { ...init, senderPublicKey: new Uint8Array(32) }, new Uint8Array(48).fill(9)),
  ).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  using sender = createHpkeSender(slab, { recipientPublicKey: publicKey, info })
  using recipient = createHpkeRecipient(slab, { ...init, enc: sender.enc })
  expect(() => recipient.open(slab, new Uint8Array(15))).toThrow(/too few/)
  sender[Symbol.dispose]()
  recipient[Symbol.dispose]()
  expect(slab.used).toBe(before)
})

test('messages open in their order only, and one that does not open leaves its turn to the right one', () => {
  using slab = new Slab({ bytes: 65_536 })
  const { secret, publicKey } = keyPair(slab)
  using sender = createHpkeSender(slab, { recipientPublicKey: publicKey, info })
  using recipient = createHpkeRecipient(slab, {
    enc: sender.enc,
    recipientSecretKey: secret.bytes,
    info,
  })
  const first = sender.seal(plaintext)
  const second = sender.seal(plaintext)
  expect(second).not.toEqual(first)
  expect(() => recipient.open(slab, second)).toThrow(/Cannot open HPKE message/)
  for (const sealed of [first, second]) {
    using opened = recipient.open(slab, sealed)
    expect(new Uint8Array(opened.bytes)).toEqual(plaintext)
  }
  expect(() => recipient.open(slab, second)).toThrow(/Cannot open HPKE message/)
})

test('a context ends at maxMessages, which is at most MAX_HPKE_MESSAGES', () => {
  using slab = new Slab({ bytes: 65_536 })
  const { secret, publicKey } = keyPair(slab)
  const init = { recipientPublicKey: publicKey, info }
  const before = slab.used
  expect(() => createHpkeSender(slab, { ...init, maxMessages: MAX_HPKE_MESSAGES + 1 })).toThrow(
    RangeError,
  )
  expect(slab.used).toBe(before)
  using sender = createHpkeSender(slab, { ...init, maxMessages: 2 })
  using recipient = createHpkeRecipient(slab, {
    enc: sender.enc,
    recipientSecretKey: secret.bytes,
    info,
    maxMessages: 1,
  })
  const first = sender.seal(plaintext)
  const second = sender.seal(plaintext)
  recipient.open(slab, first).wipe()
  for (const more of [() => sender.seal(plaintext), () => recipient.open(slab, second)]) {
    expect(more).toThrow(expect.objectContaining({ reason: 'key_worn_out' }))
  }
})

test('an exported secret is 1 to MAX_HPKE_EXPORT_BYTES long', () => {
  using slab = new Slab({ bytes: 65_536 })
  const { publicKey } = keyPair(slab)
  using sender = createHpkeSender(slab, { recipientPublicKey: publicKey, info })
  expect(sender.export(slab, info, MAX_HPKE_EXPORT_BYTES).length).toBe(MAX_HPKE_EXPORT_BYTES)
  for (const length of [0, -1, 1.5, MAX_HPKE_EXPORT_BYTES + 1]) {
    expect(() => sender.export(slab, info, length)).toThrow(RangeError)
  }
})

/** The AEAD that the other implementation lacks. */
const chacha: AeadInterface = {
  id: AeadId.Chacha20Poly1305,
  keySize: 32,
  nonceSize: 12,
  tagSize: 16,
  createEncryptionContext: (key) => ({
    seal: async (nonce, data, aad) =>
      own(chacha20poly1305(view(key), view(nonce), view(aad)).encrypt(view(data))),
    open: async (nonce, data, aad) =>
      own(chacha20poly1305(view(key), view(nonce), view(aad)).decrypt(view(data))),
  }),
}
const view = (bytes: ArrayBufferLike | ArrayBufferView): Uint8Array =>
  ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes)
const own = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer

test('another implementation opens what is sealed here, and the reverse, in both modes', async () => {
  using slab = new Slab({ bytes: 65_536 })
  const suite = new CipherSuite({
    kem: new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: chacha,
  })
  const key = async (pair: ReturnType<typeof keyPair>): Promise<CryptoKeyPair> => ({
    privateKey: await suite.kem.importKey('raw', own(pair.secret.bytes), false),
    publicKey: await suite.kem.importKey('raw', own(pair.publicKey), true),
  })
  for (let i = 0; i < 20; i++) {
    const auth = i % 2 === 1
    const recipient = keyPair(slab)
    const sender = keyPair(slab)
    const theirs = { recipient: await key(recipient), sender: await key(sender) }
    const message = new Uint8Array(i * 7).fill(i)

    using mine = createHpkeSender(slab, {
      recipientPublicKey: recipient.publicKey,
      info,
      ...(auth ? { senderSecretKey: sender.secret.bytes } : {}),
    })
    const opener = await suite.createRecipientContext({
      recipientKey: theirs.recipient,
      enc: own(mine.enc),
      info: own(info),
      ...(auth ? { senderPublicKey: theirs.sender.publicKey } : {}),
    })
    const sealer = await suite.createSenderContext({
      recipientPublicKey: theirs.recipient.publicKey,
      info: own(info),
      ...(auth ? { senderKey: theirs.sender } : {}),
    })
    using mineToo = createHpkeRecipient(slab, {
      enc: view(sealer.enc),
      recipientSecretKey: recipient.secret.bytes,
      info,
      ...(auth ? { senderPublicKey: sender.publicKey } : {}),
    })
    for (let sequence = 0; sequence < 3; sequence++) {
      expect(view(await opener.open(own(mine.seal(message, associated)), own(associated)))).toEqual(
        message,
      )
      using opened = mineToo.open(
        slab,
        view(await sealer.seal(own(message), own(associated))),
        associated,
      )
      expect(new Uint8Array(opened.bytes)).toEqual(message)
    }
    using exported = mine.export(slab, associated, 48)
    expect(view(await opener.export(own(associated), 48))).toEqual(new Uint8Array(exported.bytes))
    recipient.secret.wipe()
    sender.secret.wipe()
  }
})

test('memory of a fresh slab is all zeros', () => {
  using slab = new Slab({ bytes: 8192 })
  using all = slab.take(8192)
  expect(all.bytes.every((byte) => byte === 0)).toBe(true)
})
