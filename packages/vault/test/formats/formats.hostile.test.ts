import { concat, encodeUtf8, fromHex } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { decodeBase64 } from '../../src/formats/base64.ts'
import { ecdsaFromDer, ecdsaToDer } from '../../src/formats/ecdsa-signature.ts'
import { readGitObject } from '../../src/formats/git.ts'
import { readPem, writePem } from '../../src/formats/pem.ts'
import { readPkcs8, readSec1 } from '../../src/formats/pkcs8.ts'
import { readSpki, writeSpki } from '../../src/formats/spki.ts'
import { readSshKey } from '../../src/formats/ssh-key.ts'
import { readSshLogin } from '../../src/formats/ssh-login.ts'
import {
  readSshBlob,
  readSshLine,
  writeSshBlob,
  writeSshLine,
} from '../../src/formats/ssh-public.ts'
import { sshString, sshUint32 } from '../../src/formats/ssh-wire.ts'
import {
  readSshsig,
  readSshsigBlob,
  sshsigSubject,
  writeSshsig,
  writeSshsigBlob,
} from '../../src/formats/sshsig.ts'
import { MAX_KEY_FILE_BYTES } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'
import type { Secret } from '../../src/secret.ts'
import { feed, FEWER, INPUTS } from './_hostile.ts'
import { PAIR_TYPES, testPair } from './_keys.ts'
import { armouredSshKey, sshKeyBytes, sshKeyLayout } from './_ssh-key.ts'

const TIMEOUT = { timeout: INPUTS }
const slab = new Slab({ bytes: 64 * 1024 })

/** Wipes what was read; what was refused has to have left nothing in secret memory. */
function emptied<T extends unknown[]>(
  parse: (...input: T) => { secretKey: Secret } | { der: Secret },
): (...input: T) => void {
  return (...input) => {
    try {
      const result = parse(...input)
      if ('der' in result) result.der.wipe()
      else result.secretKey.wipe()
    } finally {
      if (slab.used !== 0) expect.fail('something stays in secret memory')
    }
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const pairs = PAIR_TYPES.map((type) => testPair(type))
const pkcs8 = pairs.map(
  ({ privateObject }) => new Uint8Array(privateObject.export({ format: 'der', type: 'pkcs8' })),
)
const sec1 = pairs
  .slice(2)
  .map(({ privateObject }) => new Uint8Array(privateObject.export({ format: 'der', type: 'sec1' })))
const ed25519 = { type: 'ed25519', publicKey: testPair('ed25519').publicKey } as const
const p384 = { type: 'p384', publicKey: testPair('p384').publicKey } as const
const WHO = 'Some One <me@example.org> 1700000000 +0200'
const ID = '0123456789abcdef0123456789abcdef01234567'

// The KDF is never reached, since no passphrase is given.
const plainKey = sshKeyBytes(sshKeyLayout(ed25519.publicKey))
const sealedKey = sshKeyBytes({
  ...sshKeyLayout(ed25519.publicKey),
  cipher: 'aes256-gcm@openssh.com',
  kdf: 'bcrypt',
  options: concat([sshString(new Uint8Array(16)), sshUint32(16)]),
  tag: new Uint8Array(16),
})
describe(`malformed inputs, ${INPUTS} or ${FEWER} each, neither crash nor stay in memory`, () => {
  test('base64', TIMEOUT, async () => {
    const out = new Uint8Array(128)
    const sample = encodeUtf8('Zm9vYmFyIGJheg==Zm9vYmFyIGJheg'.repeat(2))
    const read = await feed([sample, sample.subarray(0, 16)], (input) => decodeBase64(input, out), {
      inputs: FEWER,
    })
    expect(read).toBeGreaterThan(100)
  })

  test('PEM', TIMEOUT, async () => {
    const samples = [
      armouredSshKey(new Uint8Array(90)),
      encodeUtf8(`text\n${writePem('A', new Uint8Array(20))}`),
    ]
    const read = await feed(
      samples,
      emptied((input: Uint8Array) => readPem(input, slab)),
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('PKCS#8', TIMEOUT, async () => {
    // RFC 8410 §10.3, with attributes and a public half.
    const version2 = fromHex(
      `3072020101300506032b657004220420${'d4'.repeat(32)}a01f301d060a2a864886f70d01090914310f0c0d437572646c6520436861697273812100${'19'.repeat(32)}`,
    )
    const read = await feed(
      [...pkcs8, version2],
      emptied((input: Uint8Array) => readPkcs8(input, slab)),
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('SEC1', TIMEOUT, async () => {
    const read = await feed(
      sec1,
      emptied((input: Uint8Array) => readSec1(input, slab)),
      { inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('SPKI: what is read is what is written', TIMEOUT, async () => {
    const samples = pairs.map(({ type, publicKey }) => writeSpki({ type, publicKey }))
    const read = await feed(
      samples,
      (input) => {
        if (latin1(writeSpki(readSpki(input))) !== latin1(input))
          expect.fail('two forms of one key')
      },
      { inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('ECDSA signatures: what is read is what is written', TIMEOUT, async () => {
    const samples = [0x11, 0x80, 0x00].map((byte) =>
      ecdsaToDer(new Uint8Array(64).fill(byte, byte === 0 ? 30 : 0)),
    )
    const read = await feed(
      samples,
      (input) => {
        if (latin1(ecdsaToDer(ecdsaFromDer(input, 32))) !== latin1(input))
          expect.fail('two forms of one signature')
      },
      { inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('OpenSSH private keys, changed in the armour and below', TIMEOUT, async () => {
    const samples = [armouredSshKey(plainKey), plainKey, armouredSshKey(sealedKey), sealedKey]
    const read = await feed(
      samples,
      async (input) => {
        const { secretKey } = await readSshKey(
          input[0] === 0x2d ? input : armouredSshKey(input),
          slab,
        )
        secretKey.wipe()
      },
      { refusals: ['SyntaxError', 'RangeError', 'VaultError'] },
    )
    expect(read).toBeGreaterThan(1000)
    expect(slab.used).toBe(0)
  })

  test('SSH public keys: what is read is what is written', TIMEOUT, async () => {
    const read = await feed([writeSshBlob(ed25519), writeSshBlob(p384)], (input) => {
      if (latin1(writeSshBlob(readSshBlob(input))) !== latin1(input))
        expect.fail('two forms of one key')
    })
    expect(read).toBeGreaterThan(1000)
  })

  test('lines of SSH public keys', TIMEOUT, async () => {
    const samples = [ed25519, p384].map((key) => encodeUtf8(writeSshLine(key, 'a comment')))
    const read = await feed(samples, (input) => readSshLine(latin1(input)))
    expect(read).toBeGreaterThan(1000)
  })

  test('SSHSIG, armoured', TIMEOUT, async () => {
    const about = { namespace: 'file', hash: 'sha512' } as const
    const samples = [
      writeSshsig({ ...about, key: ed25519, signature: new Uint8Array(64).fill(3) }),
      writeSshsig({ ...about, key: p384, signature: new Uint8Array(96).fill(0x83) }),
    ].map((text) => encodeUtf8(text))
    const read = await feed(samples, readSshsig, { inputs: FEWER })
    expect(read).toBeGreaterThan(1000)
  })

  test('SSHSIG, to be signed: what is read is what is written', TIMEOUT, async () => {
    const sample = writeSshsigBlob(sshsigSubject('file', new Uint8Array(3)))
    const read = await feed(
      [sample],
      (input) => {
        if (latin1(writeSshsigBlob(readSshsigBlob(input))) !== latin1(input))
          expect.fail('two forms')
      },
      { inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('git objects', TIMEOUT, async () => {
    const samples = [
      `tree ${ID}\nparent ${ID}\nauthor ${WHO}\ncommitter ${WHO}\nmergetag a\n b\n\nA message\n`,
      `object ${ID}\ntype commit\ntag v1.0\ntagger ${WHO}\n\nA message\n`,
    ].map((text) => encodeUtf8(text))
    const read = await feed(samples, readGitObject, { inputs: FEWER })
    expect(read).toBeGreaterThan(1000)
  })

  test('SSH logins', TIMEOUT, async () => {
    const login = (method: string, rest: Uint8Array): Uint8Array =>
      concat([
        sshString(new Uint8Array(32)),
        Uint8Array.of(50),
        sshString('root'),
        sshString('ssh-connection'),
        sshString(method),
        Uint8Array.of(1),
        sshString('ssh-ed25519'),
        sshString(writeSshBlob(ed25519)),
        rest,
      ])
    const samples = [
      login('publickey', new Uint8Array(0)),
      login('publickey-hostbound-v00@openssh.com', sshString(writeSshBlob(p384))),
    ]
    const read = await feed(samples, readSshLogin, { inputs: FEWER })
    expect(read).toBeGreaterThan(1000)
  })
})

describe('the longest input of a kind that costs most is done in half a second', () => {
  const text = (unit: string): Uint8Array =>
    encodeUtf8(unit.repeat(Math.ceil(MAX_KEY_FILE_BYTES / unit.length))).subarray(
      0,
      MAX_KEY_FILE_BYTES,
    )
  const block = encodeUtf8('-----BEGIN A-----\n-----END A-----\n')

  test.each<[string, (input: Uint8Array) => unknown, Uint8Array]>([
    ['PEM of empty lines', (input) => readPem(input, slab), text('\n')],
    ['PEM of empty blocks', (input) => readPem(input, slab, ['B']), text(latin1(block))],
    ['PEM of dashes', (input) => readPem(input, slab), text('-')],
    ['an SSH line of spaces', (input) => readSshLine(latin1(input)), text(' ')],
    ['an SSH line of one type', (input) => readSshLine(latin1(input)), text('ssh-ed25519 AAAA ')],
    ['a git object of empty headers', readGitObject, concat([text('a b\n '), encodeUtf8('\n\n')])],
    [
      'a git object with an endless name',
      readGitObject,
      encodeUtf8(`tree ${ID}\nauthor ${'a '.repeat(30_000)}\n\n`),
    ],
    [
      'a git object of parents',
      readGitObject,
      encodeUtf8(`tree ${ID}\n${`parent ${ID}\n`.repeat(1300)}\n\n`),
    ],
  ])('%s', (_, parse, input) => {
    const start = performance.now()
    expect(() => parse(input)).toThrow(SyntaxError)
    expect(performance.now() - start).toBeLessThan(500)
  })
})
