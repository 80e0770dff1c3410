import { expect, test } from 'vitest'

import {
  concat,
  decrypt,
  encrypt,
  ENVELOPE_OVERHEAD,
  hkdf,
  importSecret,
  MAX_CONCAT_PARTS,
  MAX_CONTEXT_BYTES,
  MAX_DERIVED_BYTES,
  MAX_FIELD_BYTES,
  MAX_HEADER_MEMBERS,
  MAX_KEY_PATH_STEPS,
  MAX_PASSPHRASE_BYTES,
  MAX_RANDOM_BYTES,
  random,
  sign,
  slip10Derive,
} from '../../src/catalog/index.ts'
import type { Procedure } from '../../src/catalog/index.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(length)
const message = bytes(1)

/** Each bound with an input of a size, which fits up to the bound and not one above. */
const BOUNDS: readonly [string, number, Procedure, (size: number) => object][] = [
  ['MAX_FIELD_BYTES', MAX_FIELD_BYTES, sign, (n) => ({ key: 'a', message: bytes(n) })],
  [
    'ENVELOPE_OVERHEAD',
    MAX_FIELD_BYTES + ENVELOPE_OVERHEAD,
    decrypt,
    (n) => ({ key: 'a', envelope: bytes(n) }),
  ],
  [
    'MAX_CONTEXT_BYTES',
    MAX_CONTEXT_BYTES,
    encrypt,
    (n) => ({ key: 'a', message, context: bytes(n) }),
  ],
  [
    'MAX_PASSPHRASE_BYTES',
    MAX_PASSPHRASE_BYTES,
    importSecret,
    (n) => ({ to: 'a', as: { format: 'openssh' }, secret: message, passphrase: bytes(n) }),
  ],
  ['MAX_DERIVED_BYTES', MAX_DERIVED_BYTES, hkdf, (n) => ({ from: 'a', length: n })],
  ['MAX_RANDOM_BYTES', MAX_RANDOM_BYTES, random, (n) => ({ length: n })],
  [
    'MAX_CONCAT_PARTS',
    MAX_CONCAT_PARTS,
    concat,
    (n) => ({ from: Array.from({ length: n }, () => 'a') }),
  ],
  [
    'MAX_KEY_PATH_STEPS',
    MAX_KEY_PATH_STEPS,
    slip10Derive,
    (n) => ({ from: 'a', type: 'p256', keyPath: `m${'/0'.repeat(n)}` }),
  ],
  [
    'MAX_HEADER_MEMBERS',
    MAX_HEADER_MEMBERS,
    sign,
    (n) => ({
      key: 'a',
      message,
      as: {
        format: 'jws',
        protected: Object.fromEntries(Array.from({ length: n }, (_, i) => [`m${i}`, i])),
      },
    }),
  ],
]

test.each(BOUNDS)('%s is the most that fits', (_name, bound, procedure, input) => {
  expect(procedure.input.safeParse(input(bound)).success).toBe(true)
  expect(procedure.input.safeParse(input(bound + 1)).success).toBe(false)
})
