/**
 * Ethereum's typed data (EIP-712) from JSON: types checked, every value against its type, nothing left out and nothing
 * over, and the digest that is signed. What was checked is what is hashed and shown.
 */
import { concat, encodeUtf8, fromHex } from '@stronghold/core'

import { MAX_TYPED_DATA_BYTES, MAX_TYPED_DATA_TYPES } from '../limits.ts'
import { keccak256 } from '../primitives/keccak256.ts'

import { parseAddress } from './ethereum.ts'
import { parseJsonObject } from './json.ts'

/** Typed data that was read. */
export interface TypedData {
  readonly primaryType: string
  /** As it stands in the JSON; every member was checked. */
  readonly domain: Readonly<Record<string, unknown>>
  /** As it stands in the JSON; every member was checked. */
  readonly message: Readonly<Record<string, unknown>>
  /** hashStruct of the domain: 32 bytes. */
  readonly domainSeparator: Uint8Array
  /** What is signed: 32 bytes. */
  readonly digest: Uint8Array
}

interface Field {
  readonly name: string
  readonly type: string
}
type Types = ReadonlyMap<string, readonly Field[]>

// EIP-712 "Definition of domainSeparator": these fields, in this order, whichever are there.
const DOMAIN = 'EIP712Domain'
const DOMAIN_FIELDS: readonly (readonly [string, string])[] = [
  ['name', 'string'],
  ['version', 'string'],
  ['chainId', 'uint256'],
  ['verifyingContract', 'address'],
  ['salt', 'bytes32'],
]

const IDENTIFIER = /^[A-Za-z_$][A-Za-z0-9_$]{0,63}$/
const ATOMIC =
  /^(?:bool|address|string|bytes|bytes(?:[1-9]|[12][0-9]|3[0-2])|u?int[1-9][0-9]{0,2})$/
const ARRAY = /^(.+)\[([1-9][0-9]{0,4})?\]$/
const PREFIX = Uint8Array.of(0x19, 0x01)

/**
 * Reads typed data as `eth_signTypedData_v4` has it: `types` with `EIP712Domain`, `primaryType`, `domain`, `message`, and
 * nothing else. Whole numbers may be JSON numbers within the safe ones, or decimal or 0x text. Struct types that contain
 * themselves are refused.
 *
 * @throws `SyntaxError` naming the member, `RangeError` past `MAX_TYPED_DATA_BYTES`, `MAX_TYPED_DATA_TYPES`,
 *   `MAX_JSON_DEPTH`
 */
export function readTypedData(json: Uint8Array): TypedData {
  if (json.byteLength > MAX_TYPED_DATA_BYTES) {
    throw new RangeError(`Cannot read typed data: more than ${MAX_TYPED_DATA_BYTES} bytes`)
  }
  const all = parseJsonObject(json, 'typed data')
  const { types: typesJson, primaryType, domain, message } = all
  if (Object.keys(all).length !== 4 || typeof primaryType !== 'string') {
    throw bad('its members are not types, primaryType, domain and message')
  }
  const types = readTypes(typesJson)
  checkDomain(types)
  if (primaryType === DOMAIN || !types.has(primaryType)) throw bad('primaryType is not in types')
  const domainObject = objectOf(domain, 'domain')
  const messageObject = objectOf(message, 'message')
  const hasher = new Hasher(types)
  const domainSeparator = hasher.struct(DOMAIN, domainObject, 'domain')
  const hash = hasher.struct(primaryType, messageObject, 'message')
  return {
    primaryType,
    domain: domainObject,
    message: messageObject,
    domainSeparator,
    digest: keccak256(concat([PREFIX, domainSeparator, hash])),
  }
}

function readTypes(json: unknown): Types {
  const entries = Object.entries(objectOf(json, 'types'))
  if (entries.length > MAX_TYPED_DATA_TYPES) {
    throw new RangeError(`Cannot read typed data: more than ${MAX_TYPED_DATA_TYPES} types`)
  }
  const types = new Map<string, readonly Field[]>()
  for (const [name, fields] of entries) {
    if (!IDENTIFIER.test(name) || isAtomic(name)) throw bad(`types: ${quote(name)} is no name`)
    if (!Array.isArray(fields)) throw bad(`types.${name} is no list`)
    types.set(
      name,
      fields.map((field: unknown) => readField(field, name)),
    )
  }
  for (const [name, fields] of types) {
    const names = new Set(fields.map((field) => field.name))
    if (names.size !== fields.length) throw bad(`types.${name} has a field twice`)
    for (const { type } of fields) {
      const base = baseOf(type)
      if (!isAtomic(base) && !types.has(base)) throw bad(`types: ${quote(type)} is no type`)
    }
  }
  for (const name of types.keys()) refuseCycle(types, name)
  return types
}

function readField(json: unknown, struct: string): Field {
  const field = objectOf(json, `types.${struct}`)
  const { name, type } = field
  if (typeof name !== 'string' || typeof type !== 'string' || Object.keys(field).length !== 2) {
    throw bad(`types.${struct} has a field that is not name and type`)
  }
  if (!IDENTIFIER.test(name) || type.length > 128) throw bad(`types.${struct}: ${quote(name)}`)
  return { name, type }
}

function checkDomain(types: Types): void {
  const fields = types.get(DOMAIN)
  if (fields === undefined || fields.length === 0) throw bad(`types has no ${DOMAIN}`)
  let next = 0
  for (const { name, type } of fields) {
    const at = DOMAIN_FIELDS.findIndex(([known, its]) => known === name && its === type)
    if (at < next) throw bad(`${DOMAIN}: ${quote(name)} is none of its fields, or out of order`)
    next = at + 1
  }
}

/** A type that contains itself has no finite value, and its description would have no end. */
function refuseCycle(types: Types, name: string): void {
  const seen = new Set<string>()
  const rest = structsIn(types, name)
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (next === name) throw bad(`types.${name} contains itself`)
    if (seen.has(next)) continue
    seen.add(next)
    rest.push(...structsIn(types, next))
  }
}

function structsIn(types: Types, name: string): string[] {
  const bases = (types.get(name) ?? []).map(({ type }) => baseOf(type))
  return bases.filter((base) => types.has(base))
}

/** A type without its array suffixes. */
function baseOf(type: string): string {
  let base = type
  for (let found = ARRAY.exec(base); found !== null; found = ARRAY.exec(base)) base = found[1] ?? ''
  return base
}

function isAtomic(type: string): boolean {
  if (!ATOMIC.test(type)) return false
  const bits = /^u?int([0-9]+)$/.exec(type)?.[1]
  return bits === undefined || (Number(bits) % 8 === 0 && Number(bits) <= 256)
}

/** EIP-712 "Definition of hashStruct". */
class Hasher {
  readonly #types: Types
  readonly #typeHashes = new Map<string, Uint8Array>()

  constructor(types: Types) {
    this.#types = types
  }

  struct(name: string, value: Readonly<Record<string, unknown>>, place: string): Uint8Array {
    const fields = this.#types.get(name) ?? []
    if (Object.keys(value).length > fields.length) throw bad(`${place} has members without a type`)
    const parts = [this.#typeHash(name)]
    for (const field of fields) {
      const inside = `${place}.${field.name}`
      if (!Object.hasOwn(value, field.name)) throw bad(`${inside} is missing`)
      parts.push(this.#value(field.type, value[field.name], inside))
    }
    return keccak256(concat(parts))
  }

  #value(type: string, value: unknown, place: string): Uint8Array {
    const [, item, length] = ARRAY.exec(type) ?? []
    if (item !== undefined) {
      if (!Array.isArray(value)) throw bad(`${place} is no list`)
      if (length !== undefined && value.length !== Number(length)) {
        throw bad(`${place} has ${value.length} items, not ${length}`)
      }
      return keccak256(
        concat(value.map((of: unknown, i) => this.#value(item, of, `${place}[${i}]`))),
      )
    }
    if (this.#types.has(type)) return this.struct(type, objectOf(value, place), place)
    return atomic(type, value, place)
  }

  #typeHash(name: string): Uint8Array {
    let hash = this.#typeHashes.get(name)
    if (hash === undefined) {
      hash = keccak256(encodeUtf8(this.#typeText(name)))
      this.#typeHashes.set(name, hash)
    }
    return hash
  }

  /** EIP-712 "Definition of encodeType": the struct, then all it refers to, sorted. */
  #typeText(name: string): string {
    const others = new Set<string>()
    const rest = structsIn(this.#types, name)
    for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
      if (others.has(next)) continue
      others.add(next)
      rest.push(...structsIn(this.#types, next))
    }
    const text = (of: string): string => {
      const fields = this.#types.get(of) ?? []
      return `${of}(${fields.map((field) => `${field.type} ${field.name}`).join(',')})`
    }
    return [name, ...[...others].sort()].map(text).join('')
  }
}

/** EIP-712 "Definition of encodeData": 32 bytes. */
function atomic(type: string, value: unknown, place: string): Uint8Array {
  const wrong = (): SyntaxError => bad(`${place} is no ${type}`)
  if (type === 'bool') {
    if (typeof value !== 'boolean') throw wrong()
    return word(value ? 1n : 0n)
  }
  if (type.startsWith('uint') || type.startsWith('int')) {
    const signed = type.startsWith('int')
    const bits = BigInt(type.slice(signed ? 3 : 4))
    const number = wholeNumber(value)
    const least = signed ? -(1n << (bits - 1n)) : 0n
    const most = (1n << (signed ? bits - 1n : bits)) - 1n
    if (number === undefined || number < least || number > most) throw wrong()
    return word(BigInt.asUintN(256, number))
  }
  if (typeof value !== 'string' || !value.isWellFormed()) throw wrong()
  if (type === 'string') return keccak256(encodeUtf8(value))
  if (type === 'address') {
    try {
      return concat([new Uint8Array(12), parseAddress(value)])
    } catch (cause) {
      throw bad(`${place} is no address`, cause)
    }
  }
  if (!/^0x(?:[0-9a-fA-F]{2})*$/.test(value)) throw wrong()
  const bytes = fromHex(value.slice(2))
  if (type === 'bytes') return keccak256(bytes)
  if (bytes.byteLength !== Number(type.slice(5))) throw wrong()
  return concat([bytes, new Uint8Array(32 - bytes.byteLength)])
}

function wholeNumber(value: unknown): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  if (typeof value !== 'string' || value.length > 80) return undefined
  return /^(?:0x[0-9a-fA-F]+|-?(?:0|[1-9][0-9]*))$/.test(value) ? BigInt(value) : undefined
}

function word(value: bigint): Uint8Array {
  return fromHex(value.toString(16).padStart(64, '0'))
}

function objectOf(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`${place} is no object`)
  }
  return value as Record<string, unknown>
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}

function bad(state: string, cause?: unknown): SyntaxError {
  return new SyntaxError(`Cannot read typed data: ${state}`, { cause })
}
