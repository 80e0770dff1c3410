import { concat, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { fc, test } from '@fast-check/vitest'
import {
  computeAddress,
  decodeRlp as theirDecodeRlp,
  hashMessage,
  Transaction,
  TypedDataEncoder,
  verifyMessage,
} from 'ethers'
import { describe, expect, test as plain } from 'vitest'

import { readTypedData } from '../../src/formats/ethereum-typed.ts'
import {
  ethereumAddress,
  messageSignature,
  parseAddress,
  personalMessageDigest,
  readTransaction,
  signedTransaction,
  writeAddress,
} from '../../src/formats/ethereum.ts'
import { decodeRlp, encodeRlp } from '../../src/formats/rlp.ts'
import type { RlpItem } from '../../src/formats/rlp.ts'
import {
  MAX_RLP_DEPTH,
  MAX_TRANSACTION_BYTES,
  MAX_TYPED_DATA_BYTES,
  MAX_TYPED_DATA_TYPES,
} from '../../src/limits.ts'
import { keccak256 } from '../../src/primitives/keccak256.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import { feed, FEWER, INPUTS } from './_hostile.ts'

const secp256k1 = new Secp256k1()
const key = fromHex('46'.repeat(32))
const hex = (text: string): Uint8Array => fromHex(text.replace(/^0x/, ''))

describe('addresses', () => {
  // The list in EIP-55.
  plain.each([
    '0x52908400098527886E0F7030069857D2E4169EE7',
    '0x8617E340B3D01FA5F11F306F4090FD50E238070D',
    '0xde709f2102306220921060314715629080e2fb77',
    '0x27b1fdb04752bbc536007a920d24acb045561c26',
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
    '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
    '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
    '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
  ])('EIP-55: %s', (address) => {
    expect(writeAddress(parseAddress(address))).toBe(address)
    expect(parseAddress(`0x${address.slice(2).toLowerCase()}`)).toEqual(parseAddress(address))
  })

  plain('one letter in the wrong case is refused', () => {
    for (const bad of [
      '0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
      '',
      '0x',
      '5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
      `0x${'g'.repeat(40)}`,
    ]) {
      expect(() => parseAddress(bad)).toThrow(SyntaxError)
    }
  })

  test.prop([fc.uint8Array({ minLength: 31, maxLength: 31 })], { numRuns: 30 })(
    'are those of another implementation',
    (bytes) => {
      const secret = Uint8Array.of(1, ...bytes)
      expect(ethereumAddress(secp256k1.publicKey(secret))).toBe(
        computeAddress(`0x${toHex(secret)}`),
      )
    },
  )
})

test.prop([fc.uint8Array({ maxLength: 200 })], { numRuns: 50 })(
  'a personal message is hashed and its signer found as elsewhere',
  (message) => {
    const digest = personalMessageDigest(message)
    expect(`0x${toHex(digest)}`).toBe(hashMessage(message))
    const { signature, recoveryId } = secp256k1.sign(key, digest)
    const whole = messageSignature(signature, recoveryId)
    expect(verifyMessage(message, `0x${toHex(whole)}`)).toBe(
      ethereumAddress(secp256k1.publicKey(key)),
    )
    expect(() => messageSignature(signature, 2)).toThrow(/recovery id 2/)
  },
)

describe('RLP', () => {
  // ethereum.org, RLP "Examples".
  plain.each([
    ['83646f67', encodeUtf8('dog')],
    ['c88363617483646f67', [encodeUtf8('cat'), encodeUtf8('dog')]],
    ['80', new Uint8Array(0)],
    ['c0', []],
    ['00', Uint8Array.of(0)],
    ['820400', Uint8Array.of(4, 0)],
    ['c7c0c1c0c3c0c1c0', [[], [[]], [[], [[]]]]],
  ] as [string, RlpItem][])('%s', (text, item) => {
    expect(toHex(encodeRlp(item))).toBe(text)
    expect(decodeRlp(hex(text))).toEqual(item)
  })

  const { item } = fc.letrec<{ item: RlpItem }>((tie) => ({
    item: fc.oneof(
      { maxDepth: 4 },
      fc.uint8Array({ maxLength: 70 }),
      fc.array(tie('item'), { maxLength: 5 }),
    ),
  }))
  test.prop([item])('what is encoded is decoded', (value) => {
    expect(decodeRlp(encodeRlp(value))).toEqual(value)
  })

  plain.each([
    '',
    '8100',
    '817f',
    'b801ff',
    'f800',
    'b90001ff',
    '83646f',
    'c1',
    '8080',
    'c0c0',
    'bfffffffffffffffff',
    'ffffffffffffffffff',
  ])('%s is refused', (text) => {
    expect(() => decodeRlp(hex(text))).toThrow(SyntaxError)
  })

  plain('lists nest to MAX_RLP_DEPTH', () => {
    const nested = (depth: number): Uint8Array => {
      let value: RlpItem = []
      for (let i = 1; i < depth; i++) value = [value]
      return encodeRlp(value)
    }
    decodeRlp(nested(MAX_RLP_DEPTH))
    expect(() => decodeRlp(nested(MAX_RLP_DEPTH + 1))).toThrow(RangeError)
  })
})

// EIP-155, "Example".
const EIP155 =
  '0xec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080'

describe('transactions', () => {
  plain('EIP-155: the example is read, hashed and signed as published', () => {
    const transaction = readTransaction(hex(EIP155))
    expect(transaction).toEqual({
      type: 'legacy',
      chainId: 1n,
      nonce: 9n,
      to: '0x3535353535353535353535353535353535353535',
      value: 10n ** 18n,
      gasLimit: 21_000n,
      maxFeePerGas: 20n * 10n ** 9n,
      dataBytes: 0,
      accessListEntries: 0,
      blobs: 0,
      digest: hex('0xdaf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53'),
    })
    const { signature, recoveryId } = secp256k1.sign(key, transaction.digest)
    expect(toHex(signedTransaction(hex(EIP155), signature, recoveryId))).toBe(
      'f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83',
    )
  })

  const address = fc
    .uint8Array({ minLength: 20, maxLength: 20 })
    .map((bytes) => writeAddress(bytes))
  const amount = fc.bigInt({ min: 0n, max: 2n ** 90n })
  const bytes = fc.uint8Array({ maxLength: 100 }).map((of) => `0x${toHex(of)}`)
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((of) => `0x${toHex(of)}`)
  const common = {
    chainId: fc.bigInt({ min: 1n, max: 2n ** 40n }),
    nonce: fc.nat(2 ** 31),
    gasLimit: fc.bigInt({ min: 0n, max: 2n ** 60n }),
    to: fc.option(address),
    value: amount,
    data: bytes,
  }
  const accessList = fc.array(
    fc.record({ address, storageKeys: fc.array(hash, { maxLength: 3 }) }),
    { maxLength: 3 },
  )
  const any = fc.oneof(
    fc.record({ ...common, type: fc.constant(0), gasPrice: amount }),
    fc.record({ ...common, type: fc.constant(1), gasPrice: amount, accessList }),
    fc.record({
      ...common,
      type: fc.constant(2),
      maxFeePerGas: fc.constant(2n ** 91n),
      maxPriorityFeePerGas: amount,
      accessList,
    }),
    fc.record({
      ...common,
      to: address,
      type: fc.constant(3),
      maxFeePerGas: fc.constant(2n ** 91n),
      maxPriorityFeePerGas: amount,
      accessList,
      maxFeePerBlobGas: amount,
      blobVersionedHashes: fc.array(
        hash.map((of) => `0x01${of.slice(4)}`),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  )
  test.prop([any], { numRuns: 200 })(
    'are read and signed as another implementation reads them',
    (fields) => {
      const theirs = Transaction.from(fields)
      const unsigned = hex(theirs.unsignedSerialized)
      const mine = readTransaction(unsigned)
      expect(`0x${toHex(mine.digest)}`).toBe(theirs.unsignedHash)
      expect(mine).toMatchObject({
        type: ['legacy', 'eip2930', 'eip1559', 'eip4844'][fields.type],
        chainId: fields.chainId,
        nonce: BigInt(fields.nonce),
        value: fields.value,
        gasLimit: fields.gasLimit,
        maxFeePerGas: theirs.maxFeePerGas ?? theirs.gasPrice,
        dataBytes: (fields.data.length - 2) / 2,
        accessListEntries: theirs.accessList?.length ?? 0,
        blobs: theirs.blobVersionedHashes?.length ?? 0,
      })
      expect(mine.to).toBe(fields.to ?? undefined)
      expect(mine.selector).toBe(fields.data.length < 10 ? undefined : fields.data.slice(2, 10))
      const { signature, recoveryId } = secp256k1.sign(key, mine.digest)
      const back = Transaction.from(
        `0x${toHex(signedTransaction(unsigned, signature, recoveryId))}`,
      )
      expect(back.from).toBe(ethereumAddress(secp256k1.publicKey(key)))
      expect(back.unsignedHash).toBe(theirs.unsignedHash)
    },
  )

  plain('what is not the one unsigned form is refused', () => {
    const legacy = decodeRlp(hex(EIP155)) as Uint8Array[]
    const changed = (at: number, value: RlpItem): Uint8Array =>
      encodeRlp(legacy.map((of, i) => (i === at ? value : of)))
    const bad: Uint8Array[] = [
      hex(''),
      hex('c0'),
      hex('00c0'),
      hex('04c0'),
      hex('02'),
      hex('02c0'),
      hex('0280'),
      encodeRlp(legacy.slice(0, 6)),
      changed(0, Uint8Array.of(0, 1)),
      changed(0, new Uint8Array(9).fill(1)),
      changed(3, new Uint8Array(19)),
      changed(3, [[]]),
      changed(4, new Uint8Array(33).fill(1)),
      changed(6, new Uint8Array(0)),
      changed(7, Uint8Array.of(1)),
      concat([hex(EIP155), Uint8Array.of(0)]),
    ]
    for (const bytes of bad) expect(() => readTransaction(bytes), toHex(bytes)).toThrow(SyntaxError)
    expect(() => readTransaction(new Uint8Array(MAX_TRANSACTION_BYTES + 1))).toThrow(RangeError)
    const room = MAX_TRANSACTION_BYTES - hex(EIP155).byteLength - 6
    expect(readTransaction(changed(5, new Uint8Array(room))).dataBytes).toBe(room)
  })
})

// EIP-712, "Specification of the eth_signTypedData JSON RPC".
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
const json = (value: unknown): Uint8Array => encodeUtf8(JSON.stringify(value))
type Data = Omit<typeof MAIL, 'types' | 'domain' | 'message'> & {
  types: Record<string, { name: string; type: string }[]>
  domain: Record<string, unknown>
  message: Record<string, unknown>
}
const theirDigest = ({ types: { EIP712Domain: _, ...types }, domain, message }: Data): string =>
  TypedDataEncoder.hash(domain, types, message)

describe('typed data', () => {
  plain('EIP-712: the mail is hashed and signed as published', () => {
    const mail = readTypedData(json(MAIL))
    expect(toHex(mail.domainSeparator)).toBe(
      'f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f',
    )
    expect(toHex(mail.digest)).toBe(
      'be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2',
    )
    const cow = keccak256(encodeUtf8('cow'))
    expect(ethereumAddress(secp256k1.publicKey(cow))).toBe(MAIL.message.from.wallet)
    const { signature, recoveryId } = secp256k1.sign(cow, mail.digest)
    expect(toHex(messageSignature(signature, recoveryId))).toBe(
      '4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c',
    )
  })

  const number = (bits: number, signed: boolean): fc.Arbitrary<unknown> => {
    const top = 2n ** BigInt(signed ? bits - 1 : bits)
    const of = fc.bigInt({ min: signed ? -top : 0n, max: top - 1n })
    return of.map((value) =>
      value >= 0n && value % 2n === 0n ? `0x${value.toString(16)}` : value.toString(),
    )
  }
  const hexOf = (length: number | undefined): fc.Arbitrary<string> =>
    fc
      .uint8Array(
        length === undefined ? { maxLength: 40 } : { minLength: length, maxLength: length },
      )
      .map((of) => `0x${toHex(of)}`)
  const atom: fc.Arbitrary<[string, unknown]> = fc.oneof(
    fc.tuple(fc.constant('bool'), fc.boolean()),
    fc.tuple(fc.constant('string'), fc.string({ unit: 'grapheme' })),
    fc.tuple(fc.constant('bytes'), hexOf(undefined)),
    fc.tuple(fc.constant('address'), hexOf(20)),
    fc.integer({ min: 1, max: 32 }).chain((n) => fc.tuple(fc.constant(`bytes${n}`), hexOf(n))),
    fc
      .tuple(fc.integer({ min: 1, max: 32 }), fc.boolean())
      .chain(([n, signed]) =>
        fc.tuple(fc.constant(`${signed ? '' : 'u'}int${8 * n}`), number(8 * n, signed)),
      ),
  )
  const member = fc.oneof(
    atom,
    fc
      .tuple(atom, fc.nat(3))
      .map(([[type, value], n]): [string, unknown] => [
        `${type}[]`,
        new Array<unknown>(n).fill(value),
      ]),
    fc
      .tuple(atom, fc.integer({ min: 1, max: 3 }))
      .map(([[type, value], n]): [string, unknown] => [
        `${type}[${n}][]`,
        [new Array<unknown>(n).fill(value)],
      ]),
    fc.constant(['Person[]', [MAIL.message.from, MAIL.message.to]] as [string, unknown]),
    fc.constant(['Mail', MAIL.message] as [string, unknown]),
  )
  test.prop([fc.array(member, { minLength: 1, maxLength: 6 })], { numRuns: 200 })(
    'of any types is hashed as another implementation hashes it',
    (members) => {
      const fields = members.map(([type], i) => ({ name: `m${i}`, type }))
      const message = Object.fromEntries(members.map(([, value], i) => [`m${i}`, value]))
      const used = new Set(members.map(([type]) => type.replace(/[[].*/, '')))
      const { EIP712Domain, Person, Mail } = MAIL.types
      const types = {
        EIP712Domain,
        ...(used.has('Person') || used.has('Mail') ? { Person } : {}),
        ...(used.has('Mail') ? { Mail } : {}),
        Any: fields,
      }
      const data = { ...MAIL, types, primaryType: 'Any', message }
      expect(`0x${toHex(readTypedData(json(data)).digest)}`).toBe(theirDigest(data))
    },
  )

  const changes: [string, (data: Data) => unknown][] = [
    ['a member over', (data) => (data.message['x'] = 1)],
    ['a member missing', (data) => delete data.message['contents']],
    ['null in place of a struct', (data) => (data.message['to'] = null)],
    ['a number for a text', (data) => (data.message['contents'] = 1)],
    [
      'an address in the wrong case',
      (data) =>
        (data.message['to'] = { name: '', wallet: '0xbbbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB' }),
    ],
    ['a number past the safe ones', (data) => (data.domain['chainId'] = 2 ** 53)],
    ['a number below zero', (data) => (data.domain['chainId'] = -1)],
    ['a fraction', (data) => (data.domain['chainId'] = '1.5')],
    ['a domain without a type', (data) => delete data.types['EIP712Domain']],
    ['a field of the domain out of order', (data) => data.types['EIP712Domain']!.reverse()],
    [
      'another field in the domain',
      (data) => data.types['EIP712Domain']!.push({ name: 'x', type: 'string' }),
    ],
    ['a type nobody defined', (data) => data.types['Mail']!.push({ name: 'x', type: 'Nobody' })],
    [
      'a type that contains itself',
      (data) => data.types['Person']!.push({ name: 'x', type: 'Person[]' }),
    ],
    [
      'types that contain each other',
      (data) => data.types['Person']!.push({ name: 'x', type: 'Mail' }),
    ],
    ['a field twice', (data) => data.types['Mail']!.push({ name: 'to', type: 'Person' })],
    ['an alias', (data) => data.types['Mail']!.push({ name: 'x', type: 'uint' })],
    ['a width that is none', (data) => data.types['Mail']!.push({ name: 'x', type: 'uint7' })],
    ['a type named like an atomic one', (data) => (data.types['uint8'] = [])],
    ['a name with a bracket', (data) => (data.types['A('] = [])],
    ['no such primary type', (data) => (data.primaryType = 'Nobody')],
    ['the domain as primary type', (data) => (data.primaryType = 'EIP712Domain')],
    ['something beside the four', (data) => Object.assign(data, { more: 1 })],
    ['a list that is none', (data) => data.types['Mail']!.push({ name: 'x', type: 'Person[' })],
  ]
  plain.each(changes)('%s is refused', (_, change) => {
    const data = structuredClone(MAIL) as Data
    change(data)
    expect(() => readTypedData(json(data))).toThrow(SyntaxError)
  })

  plain('MAX_TYPED_DATA_BYTES and MAX_TYPED_DATA_TYPES are the most', () => {
    const size = json(MAIL).byteLength
    const padded = (bytes: number): Uint8Array =>
      encodeUtf8(JSON.stringify(MAIL) + ' '.repeat(bytes - size))
    readTypedData(padded(MAX_TYPED_DATA_BYTES))
    expect(() => readTypedData(padded(MAX_TYPED_DATA_BYTES + 1))).toThrow(RangeError)
    const types = (count: number): Uint8Array => {
      const more = Array.from({ length: count - 3 }, (_, i) => [`T${i}`, []])
      return json({ ...MAIL, types: { ...MAIL.types, ...Object.fromEntries(more) } })
    }
    readTypedData(types(MAX_TYPED_DATA_TYPES))
    expect(() => readTypedData(types(MAX_TYPED_DATA_TYPES + 1))).toThrow(RangeError)
  })
})

const REFUSALS = { refusals: ['SyntaxError', 'RangeError'], inputs: FEWER }

describe(`malformed inputs, up to ${FEWER} each, neither crash nor stay in memory`, () => {
  plain('RLP and transactions', { timeout: INPUTS }, async () => {
    const samples = [
      hex(EIP155),
      concat([
        Uint8Array.of(1),
        encodeRlp([...new Array<Uint8Array>(7).fill(Uint8Array.of(1)), []]),
      ]),
    ]
    let count = 0
    const read = await feed(
      samples,
      (input) => {
        // Theirs takes longest of all: now and then is enough.
        if (isRead(() => decodeRlp(input)) && count++ % 50 === 0)
          theirDecodeRlp(`0x${toHex(input)}`)
        readTransaction(input)
      },
      REFUSALS,
    )
    expect(read).toBeGreaterThan(1000)
  })

  plain('typed data', { timeout: INPUTS }, async () => {
    const read = await feed([json(MAIL)], readTypedData, {
      ...REFUSALS,
      // Each costs as much as ten others.
      inputs: FEWER / 2,
    })
    expect(read).toBeGreaterThan(1000)
  })
})

function isRead(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return false
    throw error
  }
}
