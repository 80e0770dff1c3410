/** Key pairs for tests, made by Node.js, in the forms that this package's formats take. */
import { ECDH, generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

import { SECRET_KEY_BYTES } from '../../src/formats/key-pairs.ts'
import type { PairType } from '../../src/formats/key-pairs.ts'

export const PAIR_TYPES = ['ed25519', 'x25519', 'secp256k1', 'p256', 'p384'] as const

export interface TestPair {
  readonly type: PairType
  readonly secretKey: Uint8Array
  /** 32 bytes, or an uncompressed point. */
  readonly publicKey: Uint8Array
  readonly privateObject: KeyObject
  readonly publicObject: KeyObject
}

const CURVES = { secp256k1: 'secp256k1', p256: 'prime256v1', p384: 'secp384r1' } as const

export function testPair(type: PairType): TestPair {
  const { privateKey, publicKey } =
    type === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : type === 'x25519'
        ? generateKeyPairSync('x25519')
        : generateKeyPairSync('ec', { namedCurve: CURVES[type] })
  const { d, x, y } = privateKey.export({ format: 'jwk' })
  const secretKey = bytes(d)
  if (secretKey.byteLength !== SECRET_KEY_BYTES[type]) throw new Error('no such length')
  return {
    type,
    secretKey,
    publicKey: y === undefined ? bytes(x) : Uint8Array.from([4, ...bytes(x), ...bytes(y)]),
    privateObject: privateKey,
    publicObject: publicKey,
  }
}

/** The short form of a point as OpenSSL computes it. */
export function compressed(type: 'secp256k1' | 'p256' | 'p384', point: Uint8Array): Uint8Array {
  const short = ECDH.convertKey(point, CURVES[type], undefined, undefined, 'compressed')
  return Uint8Array.from(short as Buffer)
}

function bytes(text: string | undefined): Uint8Array {
  return Uint8Array.from(Buffer.from(text ?? '', 'base64url'))
}
