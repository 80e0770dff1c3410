/**
 * Ethereum's addresses (EIP-55), messages (EIP-191) and transactions (EIP-155, 2930, 1559, 4844): what will be signed is
 * read from the very bytes whose digest is taken. It neither signs nor knows networks.
 */
import { assertBytes, concat, encodeUtf8, fromHex, toHex } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { MAX_TRANSACTION_BYTES } from '../limits.ts'
import { keccak256 } from '../primitives/keccak256.ts'

import { decodeRlp, encodeRlp } from './rlp.ts'
import type { RlpItem } from './rlp.ts'

const ADDRESS_BYTES = 20

/**
 * The address of a public key, in mixed case as EIP-55 says.
 *
 * @param point - 0x04 ‖ x ‖ y
 * @throws `RangeError` for another length
 */
export function ethereumAddress(point: Uint8Array): string {
  assertBytes(point, 'point', 65)
  return writeAddress(keccak256(point.subarray(1)).subarray(12))
}

/** 20 bytes as an address in mixed case (EIP-55). */
export function writeAddress(address: Uint8Array): string {
  assertBytes(address, 'address', ADDRESS_BYTES)
  const digits = toHex(address)
  const hash = toHex(keccak256(encodeUtf8(digits)))
  let text = '0x'
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charAt(i)
    text += hash.charAt(i) >= '8' ? digit.toUpperCase() : digit
  }
  return text
}

/**
 * 20 bytes from an address, whose case must be EIP-55's unless it is all one case.
 *
 * @throws `SyntaxError`
 */
export function parseAddress(text: string): Uint8Array {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new SyntaxError('Cannot read address: no 40 digits')
  const digits = text.slice(2)
  const address = fromHex(digits)
  const oneCase = digits === digits.toLowerCase() || digits === digits.toUpperCase()
  if (!oneCase && writeAddress(address) !== text) {
    throw new SyntaxError('Cannot read address: its case does not fit its digits (EIP-55)')
  }
  return address
}

/** What is signed for a message (EIP-191 version 0x45, `personal_sign`): 32 bytes. */
export function personalMessageDigest(message: Uint8Array): Uint8Array {
  const prefix = encodeUtf8(`\u0019Ethereum Signed Message:\n${message.byteLength}`)
  return keccak256(concat([prefix, message]))
}

/**
 * A signature of a message or of typed data as wallets give it: r ‖ s ‖ v, 65 bytes, v 27 or 28.
 *
 * @param signature - r ‖ s
 * @throws `RangeError` for another length, `VaultError` `internal` for a recovery id that Ethereum cannot write
 */
export function messageSignature(signature: Uint8Array, recoveryId: number): Uint8Array {
  assertBytes(signature, 'signature', 64)
  return concat([signature, Uint8Array.of(27 + parityOf(recoveryId))])
}

/** What a transaction would do, read from its bytes. Amounts are in wei. */
export interface EthereumTransaction {
  readonly type: 'legacy' | 'eip2930' | 'eip1559' | 'eip4844'
  readonly chainId: bigint
  readonly nonce: bigint
  /** EIP-55; absent where the transaction makes a contract. */
  readonly to?: string
  readonly value: bigint
  readonly gasLimit: bigint
  /** The most that one unit of gas may cost: `gasPrice`, or `maxFeePerGas`. */
  readonly maxFeePerGas: bigint
  readonly maxPriorityFeePerGas?: bigint
  readonly maxFeePerBlobGas?: bigint
  /** Length of the call data, in bytes. */
  readonly dataBytes: number
  /** First four bytes of the call data as hex, where there are four. */
  readonly selector?: string
  /** Entries of the access list. */
  readonly accessListEntries: number
  readonly blobs: number
  /** What is signed: 32 bytes. */
  readonly digest: Uint8Array
}

/** Fields of each type in their order. */
const FIELDS = {
  legacy: ['nonce', 'maxFee', 'gas', 'to', 'value', 'data', 'chainId', 'zero', 'zero'],
  eip2930: ['chainId', 'nonce', 'maxFee', 'gas', 'to', 'value', 'data', 'accessList'],
  eip1559: ['chainId', 'nonce', 'tip', 'maxFee', 'gas', 'to', 'value', 'data', 'accessList'],
  eip4844: [
    'chainId',
    'nonce',
    'tip',
    'maxFee',
    'gas',
    'to',
    'value',
    'data',
    'accessList',
    'blobFee',
    'blobHashes',
  ],
} as const
type Field = (typeof FIELDS)[keyof typeof FIELDS][number]

/** EIP-2718 types, by number. */
const TYPES = ['legacy', 'eip2930', 'eip1559', 'eip4844'] as const

/**
 * Reads an unsigned transaction, in the one form that is signed.
 *
 * @param bytes - the type's byte and an RLP list; of a legacy one the list of nine that EIP-155 signs, since one without
 *   a chain id could be sent on every chain
 * @throws `SyntaxError`, `RangeError` past `MAX_TRANSACTION_BYTES`
 */
export function readTransaction(bytes: Uint8Array): EthereumTransaction {
  const { type, items } = split(bytes)
  const field = (name: Field): RlpItem | undefined => {
    const at = (FIELDS[type] as readonly Field[]).indexOf(name)
    return at === -1 ? undefined : items[at]
  }
  const number = (name: Field, maxBytes = 32): bigint => numberOf(field(name), name, maxBytes)
  const optional = (name: Field): bigint | undefined =>
    field(name) === undefined ? undefined : number(name)
  const to = bytesOf(field('to'), 'to')
  if (to.byteLength !== ADDRESS_BYTES && (to.byteLength > 0 || type === 'eip4844')) {
    throw bad(`an address of ${to.byteLength} bytes`)
  }
  if (type === 'legacy') {
    for (const zero of items.slice(-2)) {
      if (bytesOf(zero, 'signature').byteLength > 0) throw bad('it is signed already')
    }
  }
  const data = bytesOf(field('data'), 'data')
  const tip = optional('tip')
  const blobFee = optional('blobFee')
  const chainId = number('chainId', 8)
  if (chainId === 0n) throw bad('no chain id')
  return {
    type,
    chainId,
    nonce: number('nonce', 8),
    ...(to.byteLength === 0 ? {} : { to: writeAddress(to) }),
    value: number('value'),
    gasLimit: number('gas', 8),
    maxFeePerGas: number('maxFee'),
    ...(tip === undefined ? {} : { maxPriorityFeePerGas: tip }),
    ...(blobFee === undefined ? {} : { maxFeePerBlobGas: blobFee }),
    dataBytes: data.byteLength,
    ...(data.byteLength < 4 ? {} : { selector: toHex(data.subarray(0, 4)) }),
    accessListEntries: accessListOf(field('accessList')),
    blobs: blobsOf(field('blobHashes')),
    digest: keccak256(bytes),
  }
}

/**
 * The signed transaction, ready to be sent.
 *
 * @param bytes - what `readTransaction` read
 * @param signature - r ‖ s over its digest, s in the lower half
 * @throws as `readTransaction`, `VaultError` `internal` for a recovery id that Ethereum cannot write
 */
export function signedTransaction(
  bytes: Uint8Array,
  signature: Uint8Array,
  recoveryId: number,
): Uint8Array {
  assertBytes(signature, 'signature', 64)
  const { chainId } = readTransaction(bytes)
  const { type, items } = split(bytes)
  const parity = BigInt(parityOf(recoveryId))
  const r = trimmed(signature.subarray(0, 32))
  const s = trimmed(signature.subarray(32))
  if (type === 'legacy') {
    return encodeRlp([...items.slice(0, 6), writeNumber(chainId * 2n + 35n + parity), r, s])
  }
  const list = encodeRlp([...items, writeNumber(parity), r, s])
  return concat([bytes.subarray(0, 1), list])
}

function split(bytes: Uint8Array): { type: keyof typeof FIELDS; items: readonly RlpItem[] } {
  if (bytes.byteLength > MAX_TRANSACTION_BYTES) {
    throw new RangeError(`Cannot read transaction: more than ${MAX_TRANSACTION_BYTES} bytes`)
  }
  const first = bytes[0] ?? 0
  const legacy = first >= 0xc0
  const type = legacy ? 'legacy' : TYPES[first]
  if (type === undefined || (!legacy && first === 0)) {
    throw bad(`type ${first} is not supported`)
  }
  const items = decodeRlp(legacy ? bytes : bytes.subarray(1))
  if (items instanceof Uint8Array) throw bad('no list')
  if (items.length !== FIELDS[type].length) {
    throw bad(`${items.length} fields where ${FIELDS[type].length} are expected`)
  }
  return { type, items }
}

function bytesOf(item: RlpItem | undefined, name: string): Uint8Array {
  if (!(item instanceof Uint8Array)) throw bad(`${name} is a list`)
  return item
}

function numberOf(item: RlpItem | undefined, name: string, maxBytes: number): bigint {
  const bytes = bytesOf(item, name)
  if (bytes.byteLength > maxBytes) throw bad(`${name} has ${bytes.byteLength} bytes`)
  if (bytes[0] === 0) throw bad(`${name} begins with a zero`)
  return bytes.byteLength === 0 ? 0n : BigInt(`0x${toHex(bytes)}`)
}

/** EIP-2930: pairs of an address and a list of storage keys of 32 bytes. */
function accessListOf(item: RlpItem | undefined): number {
  if (item === undefined) return 0
  if (item instanceof Uint8Array) throw bad('the access list is no list')
  for (const entry of item) {
    const [address, keys, ...more] = entry instanceof Uint8Array ? [] : entry
    const right =
      address instanceof Uint8Array &&
      address.byteLength === ADDRESS_BYTES &&
      Array.isArray(keys) &&
      (keys as readonly RlpItem[]).every(isHash) &&
      more.length === 0
    if (!right) throw bad('an entry of the access list is none')
  }
  return item.length
}

function blobsOf(item: RlpItem | undefined): number {
  if (item === undefined) return 0
  if (item instanceof Uint8Array || !item.every(isHash))
    throw bad('the blobs are no list of hashes')
  return item.length
}

function isHash(item: RlpItem): boolean {
  return item instanceof Uint8Array && item.byteLength === 32
}

function parityOf(recoveryId: number): number {
  if (recoveryId === 0 || recoveryId === 1) return recoveryId
  throw new VaultError('internal', `Cannot write signature: recovery id ${recoveryId}`)
}

function writeNumber(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array(0)
  const digits = value.toString(16)
  return fromHex(digits.length % 2 === 0 ? digits : `0${digits}`)
}

function trimmed(bytes: Uint8Array): Uint8Array {
  const from = bytes.findIndex((byte) => byte !== 0)
  return from === -1 ? new Uint8Array(0) : bytes.subarray(from)
}

function bad(state: string): SyntaxError {
  return new SyntaxError(`Cannot read transaction: ${state}`)
}
