/**
 * Every group of Wycheproof's files that concern a vault: run, or named as "no procedure" with the reason. What the
 * files call acceptable is decided here, flag by flag.
 */
import { createHash } from 'node:crypto'

import { concat, fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { isVaultError } from '../../src/errors.ts'
import { ecdsaFromDer } from '../../src/formats/ecdsa-signature.ts'
import * as aead from '../../src/primitives/aead.ts'
import type { Aead } from '../../src/primitives/aead.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hkdf } from '../../src/primitives/hkdf.ts'
import { hmac, verify as verifyHmac } from '../../src/primitives/hmac.ts'
import type { Hash } from '../../src/primitives/hmac.ts'
import * as keywrap from '../../src/primitives/keywrap.ts'
import { pbkdf2 } from '../../src/primitives/pbkdf2.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'

interface Case {
  readonly tcId: number
  readonly flags: readonly string[]
  readonly result: 'valid' | 'invalid' | 'acceptable'
  /** Everything else in a case; most of it hex. */
  readonly [field: string]: unknown
}
interface Group {
  readonly tests: readonly Case[]
  readonly [field: string]: unknown
}
interface VectorFile {
  readonly testGroups: readonly Group[]
}

/** How a file is run: what tells its groups apart, which of them have no procedure, and what one case has to show. */
interface Runner {
  /** The fact that names a kind of group, such as its key's length. Default: all are one kind. */
  kind?(group: Group): string
  /** Why nothing in this vault does what the group tests. */
  noProcedure?(group: Group): string | undefined
  /** Does what the case asks; true if accepted. What it computes, it compares itself. */
  accepts(test: Case, group: Group): boolean
  /** What the file leaves open, we decide: true is accept. */
  acceptable?(test: Case): boolean
}

const secp256k1 = new Secp256k1()

const FILES: Readonly<Record<string, Runner | string>> = {
  aes_gcm: {
    ...aeadRunner(aead.AES_256_GCM),
    noProcedure: (group) =>
      keysOf256(group) ??
      (group['ivSize'] === 96 || group['ivSize'] === 0
        ? undefined
        : 'nonces have 96 bits and are made inside'),
  },
  aes_kwp: {
    noProcedure: keysOf256,
    kind: (group) => `key ${String(group['keySize'])}`,
    accepts: (test) => {
      const [key, secret, wrapped] = [hex(test, 'key'), hex(test, 'msg'), hex(test, 'ct')]
      const out = new Uint8Array(Math.max(wrapped.byteLength - 8, 0)).fill(1)
      const length = keywrap.unwrapPadded(key, wrapped, out)
      if (length === undefined) return !zeros(out)
      expect(toHex(out.subarray(0, length))).toBe(toHex(secret))
      expect(zeros(out.subarray(length))).toBe(true)
      expect(toHex(keywrap.wrapPadded(key, secret))).toBe(toHex(wrapped))
      return true
    },
  },
  aes_wrap: {
    noProcedure: keysOf256,
    kind: (group) => `key ${String(group['keySize'])}`,
    accepts: (test) => {
      const [key, secret, wrapped] = [hex(test, 'key'), hex(test, 'msg'), hex(test, 'ct')]
      const out = new Uint8Array(Math.max(wrapped.byteLength - 8, 0)).fill(1)
      if (!keywrap.unwrap(key, wrapped, out)) {
        // A size that cannot be wrapped is refused on the way in, too.
        if (secret.byteLength % 8 !== 0 || secret.byteLength < 16) {
          expect(() => keywrap.wrap(key, secret)).toThrow(RangeError)
        }
        return !zeros(out)
      }
      expect(toHex(out)).toBe(toHex(secret))
      expect(toHex(keywrap.wrap(key, secret))).toBe(toHex(wrapped))
      return true
    },
    // Eight bytes alone: SP 800-38F does not define it, and neither do we.
    acceptable: (test) => !test.flags.includes('ShortKey'),
  },
  chacha20_poly1305: aeadRunner(aead.CHACHA20_POLY1305),
  ecdh_secp256k1: 'no procedure: agreement is X25519 alone',
  ecdh_secp256r1: 'no procedure: agreement is X25519 alone',
  ecdsa_secp256k1_sha256_bitcoin: ecdsaRunner((point, message, signature) =>
    secp256k1.verify(point, sha256(message), ecdsaFromDer(signature, 32)),
  ),
  ecdsa_secp256k1_sha256_p1363: ecdsaRunner((point, message, signature) =>
    secp256k1.verify(point, sha256(message), signature, { requireLowS: false }),
  ),
  ecdsa_secp256k1_sha256: ecdsaRunner((point, message, signature) =>
    secp256k1.verify(point, sha256(message), ecdsaFromDer(signature, 32), { requireLowS: false }),
  ),
  ecdsa_secp256r1_sha256_p1363: ecdsaRunner((point, message, signature) =>
    ecdsa.verify(ecdsa.P256, point, message, signature),
  ),
  ecdsa_secp256r1_sha256: ecdsaRunner((point, message, signature) =>
    ecdsa.verify(ecdsa.P256, point, message, ecdsaFromDer(signature, 32)),
  ),
  ecdsa_secp384r1_sha384: ecdsaRunner((point, message, signature) =>
    ecdsa.verify(ecdsa.P384, point, message, ecdsaFromDer(signature, 48)),
  ),
  ed25519: {
    accepts: (test, group) =>
      ed25519.verify(hex(object(group, 'publicKey'), 'pk'), hex(test, 'msg'), hex(test, 'sig')),
  },
  hkdf_sha256: hkdfRunner('sha256'),
  hkdf_sha384: hkdfRunner('sha384'),
  hkdf_sha512: hkdfRunner('sha512'),
  hmac_sha256: hmacRunner('sha256'),
  hmac_sha384: hmacRunner('sha384'),
  hmac_sha512: hmacRunner('sha512'),
  json_web_key: 'elsewhere: run with the format, in test/formats',
  json_web_signature: 'elsewhere: run with the format, in test/formats',
  pbkdf2_hmacsha256: pbkdf2Runner('sha256'),
  pbkdf2_hmacsha384: pbkdf2Runner('sha384'),
  pbkdf2_hmacsha512: pbkdf2Runner('sha512'),
  x25519: {
    accepts: (test) => {
      const out = new Uint8Array(32).fill(1)
      try {
        x25519.agree(hex(test, 'private'), hex(test, 'public'), out)
      } catch (error) {
        if (!isVaultError(error, { code: 'invalid_argument' })) throw error
        return !zeros(out)
      }
      expect(toHex(out)).toBe(test['shared'])
      return true
    },
    // RFC 7748 computes with keys on the twist and unreduced ones; §6.1 lets us refuse an all-zero secret, and we do.
    acceptable: (test) => !test.flags.includes('ZeroSharedSecret'),
  },
  xchacha20_poly1305: aeadRunner(aead.XCHACHA20_POLY1305),
}

/** File, kind of group, groups, cases, and what becomes of them. Checked below against the files. */
const TABLE = `
aes_gcm · key 128, nonce · 1 · 67 · no procedure: AES keys have 256 bits
aes_gcm · key 128, nonce of another length · 13 · 39 · no procedure: AES keys have 256 bits
aes_gcm · key 256, nonce · 1 · 66 · run
aes_gcm · key 192, nonce of another length · 13 · 37 · no procedure: AES keys have 256 bits
aes_gcm · key 192, nonce · 1 · 64 · no procedure: AES keys have 256 bits
aes_gcm · key 256, nonce of another length · 13 · 37 · no procedure: nonces have 96 bits and are made inside
aes_gcm · key 128, no nonce · 1 · 2 · no procedure: AES keys have 256 bits
aes_gcm · key 192, no nonce · 1 · 2 · no procedure: AES keys have 256 bits
aes_gcm · key 256, no nonce · 1 · 2 · run
aes_kwp · key 128 · 1 · 75 · no procedure: AES keys have 256 bits
aes_kwp · key 192 · 1 · 85 · no procedure: AES keys have 256 bits
aes_kwp · key 256 · 1 · 94 · run
aes_wrap · key 128 · 1 · 42 · no procedure: AES keys have 256 bits
aes_wrap · key 192 · 1 · 55 · no procedure: AES keys have 256 bits
aes_wrap · key 256 · 1 · 68 · run
chacha20_poly1305 · key 256, nonce · 1 · 316 · run
chacha20_poly1305 · key 256, no nonce · 1 · 1 · run
chacha20_poly1305 · key 256, nonce of another length · 8 · 8 · run
ecdh_secp256k1 · 1 · 752 · no procedure: agreement is X25519 alone
ecdh_secp256r1 · 1 · 612 · no procedure: agreement is X25519 alone
ecdsa_secp256k1_sha256_bitcoin · 99 · 463 · run
ecdsa_secp256k1_sha256_p1363 · 108 · 252 · run
ecdsa_secp256k1_sha256 · 109 · 476 · run
ecdsa_secp256r1_sha256_p1363 · 112 · 262 · run
ecdsa_secp256r1_sha256 · 113 · 484 · run
ecdsa_secp384r1_sha384 · 105 · 504 · run
ed25519 · 78 · 151 · run
hkdf_sha256 · 5 · 86 · run
hkdf_sha384 · 4 · 83 · run
hkdf_sha512 · 4 · 83 · run
hmac_sha256 · tag 256 · 3 · 87 · run
hmac_sha256 · tag 128 · 3 · 87 · run
hmac_sha384 · tag 384 · 3 · 87 · run
hmac_sha384 · tag 192 · 3 · 87 · run
hmac_sha512 · tag 512 · 3 · 87 · run
hmac_sha512 · tag 256 · 3 · 87 · run
json_web_key · 25 · 26 · elsewhere: run with the format, in test/formats
json_web_signature · 23 · 401 · elsewhere: run with the format, in test/formats
pbkdf2_hmacsha256 · 1 · 60 · run
pbkdf2_hmacsha384 · 1 · 58 · run
pbkdf2_hmacsha512 · 1 · 58 · run
x25519 · 1 · 518 · run
xchacha20_poly1305 · key 256, nonce · 1 · 306 · run
xchacha20_poly1305 · key 256, no nonce · 1 · 1 · run
xchacha20_poly1305 · key 256, nonce of another length · 8 · 8 · run
`

const files = new Map(
  Object.keys(FILES).map((name) => [
    name,
    publishedVectors(`wycheproof/${name}_test.json`) as VectorFile | undefined,
  ]),
)
const present = [...files.values()].every((file) => file !== undefined)

describe.skipIf(!present)('shared/vectors/wycheproof', () => {
  test('every group is run, or has no procedure for a reason', () => {
    expect(tableOf(files).trim()).toBe(TABLE.trim())
  })

  for (const [name, runner] of Object.entries(FILES)) {
    if (typeof runner === 'string') continue
    test(`${name}: what is valid passes, what is not is refused`, () => {
      for (const group of files.get(name)?.testGroups ?? []) {
        if (runner.noProcedure?.(group) !== undefined) continue
        for (const one of group.tests) {
          const wanted =
            one.result === 'acceptable' ? runner.acceptable?.(one) : one.result === 'valid'
          expect(wanted, `${name} ${one.tcId} is decided`).toBeDefined()
          expect(runner.accepts(one, group), `${name} ${one.tcId} ${one.flags.join()}`).toBe(wanted)
        }
      }
    })
  }

  test('AES-GCM refuses every other key and nonce before it computes', () => {
    for (const group of files.get('aes_gcm')?.testGroups ?? []) {
      if (group['keySize'] === 256 && group['ivSize'] === 96) continue
      for (const one of group.tests) {
        const [key, nonce] = [hex(one, 'key'), hex(one, 'iv')]
        const seal = (): Uint8Array =>
          aead.AES_256_GCM.seal(key, nonce, hex(one, 'aad'), hex(one, 'msg'))
        expect(seal).toThrow(RangeError)
      }
    }
  })

  test('key wrapping refuses every other key before it computes', () => {
    for (const name of ['aes_wrap', 'aes_kwp']) {
      for (const group of files.get(name)?.testGroups ?? []) {
        if (group['keySize'] === 256) continue
        for (const one of group.tests) {
          const [key, wrapped] = [hex(one, 'key'), hex(one, 'ct')]
          const out = new Uint8Array(Math.max(wrapped.byteLength - 8, 0))
          expect(() => keywrap.unwrap(key, wrapped, out)).toThrow(RangeError)
          expect(() => keywrap.unwrapPadded(key, wrapped, out)).toThrow(RangeError)
        }
      }
    }
  })
})

function aeadRunner(cipher: Aead): Runner {
  return {
    kind: (group) => {
      const nonce = group['ivSize'] === 8 * cipher.nonceBytes ? 'nonce' : 'nonce of another length'
      return `key ${String(group['keySize'])}, ${group['ivSize'] === 0 ? 'no nonce' : nonce}`
    },
    accepts: (test) => {
      const [key, nonce] = [hex(test, 'key'), hex(test, 'iv')]
      const [associated, plaintext] = [hex(test, 'aad'), hex(test, 'msg')]
      const sealed = concat([hex(test, 'ct'), hex(test, 'tag')])
      const out = new Uint8Array(Math.max(sealed.byteLength - 16, 0)).fill(1)
      if (nonce.byteLength !== cipher.nonceBytes) {
        expect(() => cipher.open(key, nonce, associated, sealed, out)).toThrow(RangeError)
        expect(() => cipher.seal(key, nonce, associated, plaintext)).toThrow(RangeError)
        return false
      }
      const opened = cipher.open(key, nonce, associated, sealed, out)
      if (!opened) return !zeros(out)
      expect(toHex(out)).toBe(toHex(plaintext))
      expect(toHex(cipher.seal(key, nonce, associated, plaintext))).toBe(toHex(sealed))
      return true
    },
  }
}

function ecdsaRunner(
  verify: (point: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean,
): Runner {
  return {
    accepts: (test, group) => {
      const point = hex(object(group, 'publicKey'), 'uncompressed')
      try {
        return verify(point, hex(test, 'msg'), hex(test, 'sig'))
      } catch (error) {
        // A signature that is not in its one DER form.
        if (error instanceof SyntaxError) return false
        throw error
      }
    },
  }
}

function hkdfRunner(hash: Hash): Runner {
  return {
    accepts: (test) => {
      const out = new Uint8Array(Number(test['size']))
      const input = { salt: hex(test, 'salt'), info: hex(test, 'info') }
      try {
        hkdf(hash, hex(test, 'ikm'), input, out)
      } catch (error) {
        if (error instanceof RangeError) return false
        throw error
      }
      expect(toHex(out)).toBe(test['okm'])
      return true
    },
  }
}

function hmacRunner(hash: Hash): Runner {
  return {
    kind: (group) => `tag ${String(group['tagSize'])}`,
    accepts: (test, group) => {
      const [key, message, tag] = [hex(test, 'key'), hex(test, 'msg'), hex(test, 'tag')]
      const whole = hmac(hash, key, message)
      if (tag.byteLength === whole.byteLength) return verifyHmac(hash, key, message, tag)
      // We make no short tags and take none; that ours begins like theirs is still worth knowing.
      expect(verifyHmac(hash, key, message, tag)).toBe(false)
      return toHex(whole.subarray(0, Number(group['tagSize']) / 8)) === toHex(tag)
    },
  }
}

function pbkdf2Runner(hash: Hash): Runner {
  return {
    accepts: (test) => {
      const out = new Uint8Array(Number(test['dkLen']))
      pbkdf2(hash, hex(test, 'password'), hex(test, 'salt'), Number(test['iterationCount']), out)
      return toHex(out) === test['dk']
    },
  }
}

function keysOf256(group: Group): string | undefined {
  return group['keySize'] === 256 ? undefined : 'AES keys have 256 bits'
}

function hex(of: Readonly<Record<string, unknown>>, field: string): Uint8Array {
  return fromHex(String(of[field]))
}

function object(of: Readonly<Record<string, unknown>>, field: string): Record<string, unknown> {
  return of[field] as Record<string, unknown>
}

function zeros(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function sha256(message: Uint8Array): Uint8Array {
  return createHash('sha256').update(message).digest()
}

function tableOf(all: ReadonlyMap<string, VectorFile | undefined>): string {
  const rows = new Map<string, { groups: number; tests: number; outcome: string }>()
  for (const [name, file] of all) {
    const runner = FILES[name]
    for (const group of file?.testGroups ?? []) {
      const kind = typeof runner === 'object' ? (runner.kind?.(group) ?? '') : ''
      const why = typeof runner === 'object' ? runner.noProcedure?.(group) : undefined
      const run = why === undefined ? 'run' : `no procedure: ${why}`
      const outcome = typeof runner === 'string' ? runner : run
      const key = kind === '' ? name : `${name} · ${kind}`
      const row = rows.get(key) ?? { groups: 0, tests: 0, outcome }
      row.groups += 1
      row.tests += group.tests.length
      rows.set(key, row)
    }
  }
  return [...rows]
    .map(([key, row]) => `${key} · ${row.groups} · ${row.tests} · ${row.outcome}`)
    .join('\n')
}
