import { concat } from '@stronghold/core'
import { afterEach, describe, expect, test } from 'vitest'

import { readSshKey } from '../../src/formats/ssh-key.ts'
import { readSshSignature, writeSshBlob } from '../../src/formats/ssh-public.ts'
import { sshString, sshUint32 } from '../../src/formats/ssh-wire.ts'
import { Slab } from '../../src/secret.ts'
import { testPair } from './_keys.ts'
import { armouredSshKey, sshKeyBytes, sshKeyLayout } from './_ssh-key.ts'
import type { SshKeyLayout } from './_ssh-key.ts'

const slab = new Slab({ bytes: 64 * 1024 })
afterEach(() => {
  expect(slab.used).toBe(0)
})

const PUBLIC = new Uint8Array(32).fill(0xaa)
const BLOB = writeSshBlob({ type: 'ed25519', publicKey: PUBLIC })
const OTHER = writeSshBlob({ type: 'ed25519', publicKey: new Uint8Array(32).fill(0xbb) })
const SEED = new Uint8Array(32).fill(5)
const RIGHT = sshKeyLayout(PUBLIC)
const KDF = concat([sshString(new Uint8Array(16)), sshUint32(16)])

async function read(layout: SshKeyLayout): Promise<unknown> {
  const key = await readSshKey(armouredSshKey(sshKeyBytes(layout)), slab)
  using secret = key.secretKey
  return { ...key, secretKey: Uint8Array.from(secret.bytes) }
}

describe('readSshKey()', () => {
  test('reads a key that was laid out by hand', async () => {
    const key = { type: 'ed25519', secretKey: SEED, claimedPublic: PUBLIC }
    expect(await read(RIGHT)).toEqual(key)
    // Whole blocks need no padding.
    expect(await read({ ...RIGHT, comment: 'x'.repeat(13) })).toEqual(key)
    // ssh-keygen pads plain keys to 8 bytes.
    expect(
      await read({ ...RIGHT, comment: 'x'.repeat(2), padding: Uint8Array.of(1, 2, 3) }),
    ).toEqual(key)
  })

  test.each<[string, Partial<SshKeyLayout>, string]>([
    ['another beginning', { magic: 'openssh-key-v2\0' }, 'it does not begin as one'],
    ['two keys', { count: 2 }, 'not just one key'],
    ['no key', { count: 0 }, 'not just one key'],
    [
      'a public key outside that is another',
      { publicKey: OTHER },
      'its public key is not the one outside',
    ],
    ['checks that differ', { checks: [77, 78] }, 'its two checks differ'],
    ['padding that does not count', { padding: Uint8Array.of(1, 2, 4) }, 'wrong padding'],
    [
      'padding of a block',
      { comment: '', padding: Uint8Array.from({ length: 21 }, (_, i) => i + 1) },
      'wrong padding',
    ],
    ['no whole blocks', { padding: Uint8Array.of(1, 2) }, 'no whole blocks'],
    ['something behind', { tag: Uint8Array.of(0) }, 'more than there should be'],
    ['options of no KDF', { options: KDF }, 'options of a KDF that is none'],
    [
      'a KDF without a cipher',
      { kdf: 'bcrypt', options: KDF },
      '"none" with "bcrypt" is not supported',
    ],
    [
      'a cipher without a KDF',
      { cipher: 'aes256-ctr' },
      '"aes256-ctr" with "none" is not supported',
    ],
    ['no tag', { cipher: 'aes256-gcm@openssh.com', kdf: 'bcrypt', options: KDF }, 'cut off'],
    [
      'no salt',
      { cipher: 'aes256-ctr', kdf: 'bcrypt', options: concat([sshString(''), sshUint32(1)]) },
      'without salt or rounds',
    ],
    [
      'more options',
      { cipher: 'aes256-ctr', kdf: 'bcrypt', options: concat([KDF, sshString('')]) },
      'more than there should be',
    ],
    [
      'a secret half of another length',
      { inside: concat([BLOB, sshString(new Uint8Array(63))]), padding: Uint8Array.of(1, 2, 3, 4) },
      'does not end in the public one',
    ],
    [
      'a secret half with another public one',
      { inside: concat([BLOB, sshString(concat([SEED, SEED]))]) },
      'does not end in the public one',
    ],
  ])('%s is refused', async (_, change, message) => {
    const reading = read({ ...RIGHT, ...change })
    await expect(reading).rejects.toThrow(message)
    await expect(reading).rejects.toThrow(SyntaxError)
  })

  test('a scalar is padded to its length, and refused where it is longer or negative', async () => {
    const { publicKey } = testPair('p256')
    const blob = writeSshBlob({ type: 'p256', publicKey })
    const layout = (scalar: Uint8Array): SshKeyLayout => ({
      ...RIGHT,
      publicKey: blob,
      inside: concat([blob, sshString(scalar)]),
    })
    expect(await read(layout(Uint8Array.of(7)))).toEqual({
      type: 'p256',
      secretKey: new Uint8Array(32).with(31, 7),
      claimedPublic: publicKey,
    })
    await expect(read(layout(new Uint8Array(33).fill(1)))).rejects.toThrow(
      'a number that is too long',
    )
    await expect(read(layout(Uint8Array.of(0x80)))).rejects.toThrow('negative')
    await expect(read(layout(Uint8Array.of(0, 7)))).rejects.toThrow('shortest form')
  })
})

describe('readSshSignature()', () => {
  const ecdsa = (r: readonly number[], s: readonly number[]): Uint8Array =>
    concat([
      sshString('ecdsa-sha2-nistp256'),
      sshString(concat([sshString(Uint8Array.from(r)), sshString(Uint8Array.from(s))])),
    ])

  test('reads r and s', () => {
    const signature = new Uint8Array(64).with(31, 1).with(63, 0x80)
    expect(readSshSignature(ecdsa([1], [0, 0x80]))).toEqual({ type: 'p256', signature })
  })

  test.each([
    ['a negative number', ecdsa([0x80], [1])],
    ['a leading zero', ecdsa([0, 1], [1])],
    ['a zero that is written', ecdsa([0], [1])],
    ['a number that is too long', ecdsa([1], new Array<number>(33).fill(1))],
    [
      'an Ed25519 signature of 63 bytes',
      concat([sshString('ssh-ed25519'), sshString(new Uint8Array(63))]),
    ],
    [
      'a type that is not supported',
      concat([sshString('ssh-rsa'), sshString(new Uint8Array(256))]),
    ],
    ['something behind', concat([ecdsa([1], [1]), Uint8Array.of(0)])],
  ])('%s is refused', (_, blob) => {
    expect(() => readSshSignature(blob)).toThrow(SyntaxError)
  })
})
