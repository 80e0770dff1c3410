import { readFileSync } from 'node:fs'

import { fromHex, toHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { createHpkeRecipient, createHpkeSender } from '../../src/formats/hpke.ts'
import { Slab } from '../../src/secret.ts'

interface Vector {
  mode: 'base' | 'auth'
  info: string
  skEm: string
  pkEm: string
  skRm: string
  pkRm: string
  skSm?: string
  pkSm?: string
  encryptions: { sequence: number; pt: string; aad: string; ct: string }[]
  exports: { context: string; length: number; value: string }[]
}

const FILE = new URL(
  '../../../../vectors/hpke/rfc9180-x25519-sha256-chacha20poly1305.json',
  import.meta.url,
)
const { vectors } = JSON.parse(readFileSync(FILE, 'utf8')) as { vectors: Vector[] }

test.each(vectors)('RFC 9180: mode $mode seals, opens and exports as published', (vector) => {
  using slab = new Slab({ bytes: 65_536 })
  using ephemeral = slab.copy(fromHex(vector.skEm))
  using recipientSecret = slab.copy(fromHex(vector.skRm))
  using senderSecret = slab.copy(fromHex(vector.skSm ?? ''))
  const auth = vector.mode === 'auth'
  using sender = createHpkeSender(slab, {
    recipientPublicKey: fromHex(vector.pkRm),
    info: fromHex(vector.info),
    ephemeralSecretKey: ephemeral.bytes,
    ...(auth ? { senderSecretKey: senderSecret.bytes } : {}),
  })
  expect(toHex(sender.enc)).toBe(vector.pkEm)
  using recipient = createHpkeRecipient(slab, {
    enc: sender.enc,
    recipientSecretKey: recipientSecret.bytes,
    info: fromHex(vector.info),
    ...(auth ? { senderPublicKey: fromHex(vector.pkSm ?? '') } : {}),
  })
  for (const { sequence, pt, aad, ct } of vector.encryptions) {
    while (sender.sequence < sequence) {
      using _ = recipient.open(slab, sender.seal(fromHex('')))
    }
    const sealed = sender.seal(fromHex(pt), fromHex(aad))
    expect(toHex(sealed)).toBe(ct)
    using opened = recipient.open(slab, sealed, fromHex(aad))
    expect(toHex(opened.bytes)).toBe(pt)
  }
  for (const { context, length, value } of vector.exports) {
    for (const end of [sender, recipient]) {
      using secret = end.export(slab, fromHex(context), length)
      expect(toHex(secret.bytes)).toBe(value)
    }
  }
})
