import { encodeUtf8, equalBytes, toHex } from '@stronghold/core'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import { bcryptPbkdf } from '../../src/formats/bcrypt.ts'
import { readSshKey } from '../../src/formats/ssh-key.ts'
import { readPublicPem, writePem } from '../../src/formats/pem.ts'
import {
  readSshLine,
  sshFingerprint,
  writeSshBlob,
  writeSshLine,
} from '../../src/formats/ssh-public.ts'
import { writePkcs8 } from '../../src/formats/pkcs8.ts'
import { readSpki } from '../../src/formats/spki.ts'
import { MAX_BCRYPT_ROUNDS } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'
import { desk, isThere } from './_judges.ts'
import type { Desk } from './_judges.ts'
import { testPair } from './_keys.ts'

const slab = new Slab({ bytes: 256 * 1024 })
afterEach(() => {
  expect(slab.used).toBe(0)
})

const PASSPHRASE = 'a word\u00e9'
const KINDS = [
  ['ed25519', ['-t', 'ed25519']],
  ['p256', ['-t', 'ecdsa', '-b', '256']],
  ['p384', ['-t', 'ecdsa', '-b', '384']],
] as const
const CIPHERS = [
  'aes256-ctr',
  'aes256-gcm@openssh.com',
  'aes256-cbc',
  'chacha20-poly1305@openssh.com',
  'aes128-ctr',
  'aes192-ctr',
  'aes128-cbc',
  'aes192-cbc',
  'aes128-gcm@openssh.com',
]

/** Makes a key; one round of the KDF where it is encrypted. */
function make(at: Desk, kind: readonly string[], cipher?: string): Uint8Array {
  const sealing = cipher === undefined ? ['-N', ''] : ['-N', PASSPHRASE, '-a', '1', '-Z', cipher]
  at.run('ssh-keygen', ['-q', ...kind, '-f', 'id', '-C', 'some one', ...sealing])
  return at.read('id')
}

/** The public key that OpenSSL computes from the secret half. */
function computed(key: Awaited<ReturnType<typeof readSshKey>>): Uint8Array {
  using secret = key.secretKey
  using der = writePkcs8(key.type, secret.bytes, slab)
  const object = createPrivateKey({ key: Buffer.from(der.bytes), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(object).export({ format: 'der', type: 'spki' })
  return readSpki(new Uint8Array(spki)).publicKey
}

async function refusal(
  text: Uint8Array,
  options: Parameters<typeof readSshKey>[2] = {},
): Promise<Error> {
  try {
    const { secretKey } = await readSshKey(text, slab, options)
    secretKey.wipe()
  } catch (error) {
    return error as Error
  }
  return expect.fail('it was read')
}

describe.skipIf(!isThere('ssh-keygen'))('keys that ssh-keygen makes', () => {
  test.each(KINDS)('%s, plain', async (type, kind) => {
    const at = desk()
    const key = await readSshKey(make(at, kind), slab)
    expect(key.type).toBe(type)
    expect(computed(key)).toEqual(key.claimedPublic)
    const line = new TextDecoder().decode(at.read('id.pub'))
    const read = readSshLine(line)
    expect(read).toEqual({ type, publicKey: key.claimedPublic, comment: 'some one' })
    expect(`${writeSshLine(read, read.comment)}\n`).toBe(line)
    expect(at.run('ssh-keygen', ['-y', '-f', 'id'])).toBe(line)
    expect(at.run('ssh-keygen', ['-l', '-f', 'id.pub'])).toContain(
      ` ${sshFingerprint(writeSshBlob(read))} `,
    )
  })

  // Scalars and paddings of every length come up.
  test('p256, many', async () => {
    for (let i = 0; i < 16; i++) {
      const key = await readSshKey(
        make(desk(), ['-t', 'ecdsa', '-b', '256', '-C', 'x'.repeat(i)]),
        slab,
      )
      expect(equalBytes(computed(key), key.claimedPublic)).toBe(true)
    }
  }, 30_000)

  test.each(
    CIPHERS.map((cipher, i) => {
      const [type, kind] = KINDS[i % KINDS.length] ?? KINDS[0]
      return [type, cipher, kind] as const
    }),
  )('%s, encrypted with %s', async (type, cipher, kind) => {
    const at = desk()
    const text = make(at, kind, cipher)
    const passphrase = encodeUtf8(PASSPHRASE)
    const key = await readSshKey(text, slab, { passphrase })
    expect(key.type).toBe(type)
    expect(computed(key)).toEqual(key.claimedPublic)
    at.run('ssh-keygen', ['-q', '-p', '-P', PASSPHRASE, '-N', '', '-f', 'id'])
    const plain = await readSshKey(at.read('id'), slab)
    expect(plain.claimedPublic).toEqual(key.claimedPublic)
    plain.secretKey.wipe()
    const wrong = await refusal(text, { passphrase: encodeUtf8('another') })
    expect(wrong.message).toBe('Cannot read OpenSSH private key: wrong passphrase')
    expect(isVaultError(wrong, { code: 'unauthenticated' })).toBe(true)
  })

  test.each(['aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'])(
    'a bit that is flipped behind %s reads like a wrong passphrase',
    async (cipher) => {
      const text = make(desk(), ['-t', 'ed25519'], cipher)
      const { der } = readPublicPem(text)
      for (const at of [der.byteLength - 1, der.byteLength - 17, der.byteLength - 40]) {
        const changed = der.with(at, (der[at] ?? 0) ^ 1)
        const pem = encodeUtf8(writePem('OPENSSH PRIVATE KEY', changed, 70))
        const error = await refusal(pem, { passphrase: encodeUtf8(PASSPHRASE) })
        expect(error.message).toBe('Cannot read OpenSSH private key: wrong passphrase')
      }
    },
  )

  test('without a passphrase an encrypted key says so, before anything is computed', async () => {
    const text = make(desk(), ['-t', 'ed25519'], 'aes256-ctr')
    for (const options of [{}, { passphrase: new Uint8Array(0) }]) {
      const error = await refusal(text, options)
      expect(isVaultError(error, { code: 'failed_precondition' })).toBe(true)
      expect(error.message).toContain('no passphrase was given')
    }
  })

  test('rounds as ssh-keygen makes them unless told', async () => {
    const at = desk()
    at.run('ssh-keygen', ['-q', '-t', 'ed25519', '-f', 'id', '-N', PASSPHRASE])
    const key = await readSshKey(at.read('id'), slab, { passphrase: encodeUtf8(PASSPHRASE) })
    expect(computed(key)).toEqual(key.claimedPublic)
  }, 30_000)

  /** A key that says that its KDF takes so many rounds. */
  function withRounds(rounds: number): Uint8Array {
    const { der } = readPublicPem(make(desk(), ['-t', 'ed25519'], 'aes256-ctr'))
    // The KDF's options: their length, the salt's length, the salt, the rounds.
    const place = toHex(der).indexOf('0000001800000010') / 2 + 8 + 16
    const changed = Uint8Array.from(der)
    new DataView(changed.buffer).setUint32(place, rounds)
    return encodeUtf8(writePem('OPENSSH PRIVATE KEY', changed))
  }

  test('too many rounds, or none, are refused before any is computed', async () => {
    const passphrase = encodeUtf8(PASSPHRASE)
    const more = MAX_BCRYPT_ROUNDS + 1
    expect((await refusal(withRounds(more), { passphrase })).message).toContain(
      `${more} rounds, at most ${MAX_BCRYPT_ROUNDS} are computed; type: ssh-keygen -p -a 100 -f FILE`,
    )
    expect((await refusal(withRounds(0), { passphrase })).message).toContain(
      'without salt or rounds',
    )
  })

  test('MAX_BCRYPT_ROUNDS are begun; a signal gives up between two, and nothing stays in secret memory', async () => {
    const giveUp = new AbortController()
    setImmediate(() => {
      giveUp.abort()
    })
    const error = await refusal(withRounds(MAX_BCRYPT_ROUNDS), {
      passphrase: encodeUtf8(PASSPHRASE),
      signal: giveUp.signal,
    })
    expect(error.name).toBe('AbortError')
  })

  test('a slab that goes while the key is derived ends it', async () => {
    const text = make(desk(), ['-t', 'ed25519'], 'aes256-ctr')
    const own = new Slab({ bytes: 64 * 1024 })
    const reading = readSshKey(text, own, { passphrase: encodeUtf8(PASSPHRASE) })
    own[Symbol.dispose]()
    await expect(reading).rejects.toThrow(TypeError)
  })

  test.each([
    ['RSA', ['-t', 'rsa', '-b', '2048'], 'type "ssh-rsa" is not supported'],
    ['P-521', ['-t', 'ecdsa', '-b', '521'], 'type "ecdsa-sha2-nistp521" is not supported'],
  ])('%s is refused by name', async (_, kind, message) => {
    const error = await refusal(make(desk(), kind))
    expect(error).toBeInstanceOf(SyntaxError)
    expect(error.message).toContain(message)
  })

  test('a cipher that is not supported is refused with what to type, which gives a key that is read', async () => {
    const at = desk()
    const passphrase = encodeUtf8(PASSPHRASE)
    const error = await refusal(make(at, ['-t', 'ed25519'], '3des-cbc'), { passphrase })
    expect(error.message).toContain(
      '"3des-cbc" with "bcrypt" is not supported; type: ssh-keygen -p -Z aes256-ctr -f FILE',
    )
    const words = ['-P', PASSPHRASE, '-N', PASSPHRASE, '-a', '1']
    at.run('ssh-keygen', ['-q', '-p', '-Z', 'aes256-ctr', '-f', 'id', ...words])
    const key = await readSshKey(at.read('id'), slab, { passphrase })
    expect(computed(key)).toEqual(key.claimedPublic)
  })

  test('a plain key with any byte changed is refused, or is the same key', async () => {
    const text = make(desk(), ['-t', 'ed25519'])
    const { der } = readPublicPem(text)
    const { secretKey } = await readSshKey(text, slab)
    const original = toHex(secretKey.bytes)
    secretKey.wipe()
    for (let at = 0; at < der.byteLength; at++) {
      const changed = der.with(at, (der[at] ?? 0) ^ 0x80)
      try {
        const key = await readSshKey(encodeUtf8(writePem('OPENSSH PRIVATE KEY', changed)), slab)
        // The seed is not checked here: who computes the public half sees it.
        if (toHex(key.secretKey.bytes) !== original) {
          expect(computed(key)).not.toEqual(key.claimedPublic)
        }
        key.secretKey.wipe()
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError)
      }
    }
  })
})

// OpenBSD regress/lib/libutil/bcrypt_pbkdf: the first vectors.
describe('bcryptPbkdf()', () => {
  test.each([
    ['password', 'salt', 4, '5bbf0cc293587f1c3635555c27796598d47e579071bf427e9d8fbe842aba34d9'],
    ['password', '\0', 4, 'c12b566235eee04c212598970a579a67'],
    [
      'password',
      'salt',
      8,
      'e1367ec5151a33faac4cc1c144cd23fa15d5548493ecc99b9b5d9c0d3b27bec7' +
        '6227ea66088b849b20ab7aa478010246e74bba51723fefa9f9474d6508845e8d',
    ],
  ])('%j, %j, %d rounds', async (passphrase, salt, rounds, hex) => {
    using key = await bcryptPbkdf(
      encodeUtf8(passphrase),
      { salt: encodeUtf8(salt), rounds },
      hex.length / 2,
      slab,
    )
    expect(toHex(key.bytes)).toBe(hex)
  })

  test.each([
    ['no passphrase', '', 'salt', 1, 32],
    ['no salt', 'password', '', 1, 32],
    ['no round', 'password', 'salt', 0, 32],
    ['too many rounds', 'password', 'salt', MAX_BCRYPT_ROUNDS + 1, 32],
    ['rounds that are no number', 'password', 'salt', Number.NaN, 32],
    ['no length', 'password', 'salt', 1, 0],
    ['too long a key', 'password', 'salt', 1, 1025],
    ['too long a salt', 'password', 's'.repeat(1025), 1, 32],
  ])('%s is refused', async (_, passphrase, salt, rounds, length) => {
    await expect(
      bcryptPbkdf(encodeUtf8(passphrase), { salt: encodeUtf8(salt), rounds }, length, slab),
    ).rejects.toThrow(RangeError)
  })
})

test('a line must agree with itself', () => {
  const { publicKey } = testPair('p256')
  const line = writeSshLine({ type: 'p256', publicKey }, 'me')
  expect(readSshLine(line)).toEqual({ type: 'p256', publicKey, comment: 'me' })
  expect(() => readSshLine(line.replace('ecdsa-sha2-nistp256', 'ssh-ed25519'))).toThrow(
    'do not agree',
  )
  expect(() => readSshLine(line.replace('nistp256 A', 'nistp256 B'))).toThrow(SyntaxError)
  expect(() => readSshLine('')).toThrow('not a line of type, key and comment')
  expect(() => readSshLine(`restrict ${line}`)).toThrow(SyntaxError)
  expect(() => readSshLine(`${line}\n${line}`)).toThrow('not a line')
  expect(() => writeSshLine({ type: 'p256', publicKey }, 'a\nb')).toThrow(
    'comment of several lines',
  )
})
