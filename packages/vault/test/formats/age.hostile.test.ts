import { encodeUtf8, equalBytes } from '@stronghold/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { decodeAgeArmor } from '../../src/formats/age-armor.ts'
import { parseAgeIdentity } from '../../src/formats/age-bech32.ts'
import { readAgeHeader } from '../../src/formats/age-header.ts'
import { ByteReader } from '../../src/formats/age-reader.ts'
import { parseAgeStanzas } from '../../src/formats/age-recipient.ts'
import { decryptAge, encryptAge } from '../../src/formats/age.ts'
import type { AgeIdentity, AgeRecipient } from '../../src/formats/age.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'
import type { Secret } from '../../src/secret.ts'
import { feed, INPUTS } from './_hostile.ts'

const TIMEOUT = { timeout: INPUTS }
const REFUSALS = { refusals: ['SyntaxError', 'RangeError'] }
const PLAINTEXT = encodeUtf8('what is kept')

/** A valid one of each. */
let binary: Uint8Array
let armored: Uint8Array
const slab = new Slab({ bytes: 256 * 1024 })
let secret: Secret

async function written(recipients: readonly AgeRecipient[], armor: boolean): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of encryptAge(slab, recipients, [PLAINTEXT], { armor })) parts.push(part)
  return new Uint8Array(Buffer.concat(parts))
}

beforeAll(async () => {
  secret = slab.random(32)
  const recipient: AgeRecipient = { type: 'x25519', publicKey: publicKey(secret.bytes) }
  binary = await written([recipient, recipient], false)
  armored = await written([recipient], true)
})
afterAll(() => {
  slab[Symbol.dispose]()
})

describe(`${INPUTS} malformed inputs neither crash nor stay in memory`, () => {
  test('headers of age files', TIMEOUT, async () => {
    const passphrase = encodeUtf8(
      `age-encryption.org/v1\n-> scrypt ${'A'.repeat(22)} 18\n${'A'.repeat(43)}\n--- ${'A'.repeat(43)}\n`,
    )
    const read = await feed(
      [binary, binary, passphrase],
      async (input) => parseAgeStanzas((await readAgeHeader(new ByteReader([input]))).stanzas),
      REFUSALS,
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('armored age files', TIMEOUT, async () => {
    const read = await feed(
      [armored],
      async (input) => {
        let length = 0
        for await (const part of decodeAgeArmor(new ByteReader([input]))) length += part.byteLength
        if (length > input.byteLength) expect.fail('more than was there')
      },
      REFUSALS,
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('identities of age', TIMEOUT, async () => {
    const { used } = slab
    const identity = encodeUtf8(
      'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX',
    )
    const read = await feed([identity], (input) => {
      parseAgeIdentity(slab, input).wipe()
    })
    expect(read).toBeGreaterThan(1000)
    expect(slab.used).toBe(used)
  })
})

// Its parsers are above; here each input costs an agreement and three HMAC.
const FILES = INPUTS / 20

test(`${FILES} changed age files give what was sealed or nothing`, TIMEOUT, async () => {
  const { used } = slab
  const who: AgeIdentity[] = [{ type: 'x25519', secretKey: secret.bytes }]
  const read = await feed(
    [binary, armored],
    async (input) => {
      for await (const part of decryptAge(slab, who, [input])) {
        if (!equalBytes(part, PLAINTEXT)) expect.fail('another plaintext')
      }
    },
    { refusals: [...REFUSALS.refusals, 'VaultError'], inputs: FILES },
  )
  expect(read).toBeGreaterThan(FILES / 20)
  expect(slab.used).toBe(used)
})
