import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { generate, pub, sign, verify } from '../../src/catalog/index.ts'
import { isVaultError } from '../../src/errors.ts'
import { Harness } from './harness.ts'

/** The example of EIP-155. */
const UNSIGNED =
  'ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080'
const SIGNED =
  'f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080' +
  '25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276' +
  'a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83'

/** The example of EIP-712; its key is the hash of "cow". */
const MAIL = {
  types: {
    EIP712Domain: [
      { name: 'name', type: 'string' },
      { name: 'version', type: 'string' },
      { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
    ],
    Person: [
      { name: 'name', type: 'string' },
      { name: 'wallet', type: 'address' },
    ],
    Mail: [
      { name: 'from', type: 'Person' },
      { name: 'to', type: 'Person' },
      { name: 'contents', type: 'string' },
    ],
  },
  primaryType: 'Mail',
  domain: {
    name: 'Ether Mail',
    version: '1',
    chainId: 1,
    verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC',
  },
  message: {
    from: { name: 'Cow', wallet: '0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826' },
    to: { name: 'Bob', wallet: '0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB' },
    contents: 'Hello, Bob!',
  },
}

test('a transaction comes back signed: the example of EIP-155', () => {
  using harness = new Harness()
  harness.put('a', 'secp256k1', new Uint8Array(32).fill(0x46))
  const as = { format: 'ethereum', kind: 'transaction' } as const
  const message = fromHex(UNSIGNED)
  const { signature } = harness.run(sign, { key: 'a', message, as })
  expect(toHex(signature)).toBe(SIGNED)
  const valid = (input: object): boolean =>
    harness.run(verify, { key: 'a', message, signature, as, ...input }).valid
  expect(valid({})).toBe(true)
  for (const at of signature.keys()) {
    const flipped = Uint8Array.from(signature)
    flipped[at] = (flipped[at] ?? 0) ^ 1
    expect(valid({ signature: flipped }), `byte ${at}`).toBe(false)
  }
})

test('typed data is signed as its hash: the example of EIP-712', () => {
  using harness = new Harness()
  harness.put('a', 'secp256k1', keccak_256(encodeUtf8('cow')))
  expect(harness.run(pub, { key: 'a', as: { format: 'evm' } }).text).toBe(
    '0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826',
  )
  const as = { format: 'ethereum', kind: 'eip712' } as const
  const message = encodeUtf8(JSON.stringify(MAIL))
  const { signature } = harness.run(sign, { key: 'a', message, as })
  expect(toHex(signature)).toBe(
    '4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d' +
      '07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562' +
      '1c',
  )
  expect(harness.run(verify, { key: 'a', message, signature, as }).valid).toBe(true)
})

test('a message of EIP-191 is signed by who another implementation says', () => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  harness.run(generate, { type: 'secp256k1', to: 'b' })
  const as = { format: 'ethereum', kind: 'eip191' } as const
  for (let i = 0; i < 10; i++) {
    const message = encodeUtf8(`message ${i}`)
    const { signature } = harness.run(sign, { key: 'a', message, as })
    const digest = keccak_256(
      encodeUtf8(`\x19Ethereum Signed Message:\n${message.byteLength}message ${i}`),
    )
    const noble = Uint8Array.of((signature[64] ?? 0) - 27, ...signature.subarray(0, 64))
    const publicKey = secp256k1.recoverPublicKey(noble, digest, { prehash: false })
    expect(publicKey).toEqual(harness.run(pub, { key: 'a' }).publicKey)
    const valid = (input: object): boolean =>
      harness.run(verify, { key: 'a', message, signature, as, ...input }).valid
    expect(valid({})).toBe(true)
    expect(valid({ key: 'b' })).toBe(false)
    expect(valid({ message: encodeUtf8('another') })).toBe(false)
    const otherParity = Uint8Array.of(...signature.subarray(0, 64), 55 - (signature[64] ?? 0))
    expect(valid({ signature: otherParity })).toBe(false)
    expect(valid({ signature: signature.subarray(0, 64) })).toBe(false)
  }
})

test.each([
  ['transaction', fromHex(SIGNED), 'one that is signed already'],
  ['transaction', encodeUtf8('{}'), 'what is none'],
  ['eip712', encodeUtf8('{}'), 'typed data without types'],
] as const)('%s refuses %s: %s', (kind, message, _what) => {
  using harness = new Harness()
  harness.run(generate, { type: 'secp256k1', to: 'a' })
  const as = { format: 'ethereum', kind } as const
  for (const run of [
    () => harness.run(sign, { key: 'a', message, as }),
    () => harness.run(verify, { key: 'a', message, signature: new Uint8Array(65), as }),
  ]) {
    try {
      run()
      expect.unreachable('nothing was thrown')
    } catch (error) {
      expect(isVaultError(error, { code: 'invalid_argument' })).toBe(true)
    }
  }
})
