/**
 * Verifies a receipt of a Stronghold without any code of Stronghold's: Node.js and `docs/audit.md §4` alone.
 *
 *     node verify-receipt.ts RECEIPT PEER-ID [--request FILE] [--answer FILE]
 *
 * RECEIPT, and where given the request and the answer, are files of CBOR as the requester kept them. Ends with 0 where the
 * receipt is right, 1 where it is not, 2 where it was called wrongly.
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

// --- CBOR (RFC 8949), as much as a receipt needs

type Value = number | null | string | Buffer | Value[] | { [name: string]: Value }

function decode(bytes: Buffer): Value {
  let at = 0
  const take = (count: number): Buffer => {
    if (count > bytes.length - at) fail('it ends too early')
    return bytes.subarray(at, (at += count))
  }
  const read = (depth: number): Value => {
    const head = take(1).readUInt8()
    const small = head & 31
    const width = { 24: 1, 25: 2, 26: 4, 27: 8 }[small]
    if (head === 0xf6) return null
    if (depth > 8 || (small > 23 && width === undefined)) fail('it is no receipt')
    const count = width === undefined ? small : Number(BigInt(`0x${take(width).toString('hex')}`))
    if (count > Number.MAX_SAFE_INTEGER) fail('a number is too large')
    const many = <T>(one: () => T): T[] => {
      if (count > bytes.length - at) fail('it ends too early')
      return Array.from({ length: count }, one)
    }
    switch (head >> 5) {
      case 0:
        return count
      case 2:
        return take(count)
      case 3:
        return take(count).toString('utf8')
      case 4:
        return many(() => read(depth + 1))
      case 5:
        return Object.fromEntries(many(() => [text(read(depth + 1)), read(depth + 1)]))
      default:
        return fail('it is no receipt')
    }
  }
  const value = read(0)
  if (at !== bytes.length) fail('something stands behind its end')
  return value
}

function encode(value: Value): Buffer {
  const head = (major: number, count: number): Buffer => {
    const bytes = Buffer.alloc(9)
    bytes.writeBigUInt64BE(BigInt(count), 1)
    const [info, width] =
      count < 24
        ? [count, 0]
        : count < 256
          ? [24, 1]
          : count < 65536
            ? [25, 2]
            : count < 2 ** 32
              ? [26, 4]
              : [27, 8]
    return Buffer.concat([Buffer.of((major << 5) | info), bytes.subarray(9 - width)])
  }
  if (value === null) return Buffer.of(0xf6)
  if (typeof value === 'number') return head(0, value)
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value])
  if (typeof value === 'string') {
    const utf8 = Buffer.from(value)
    return Buffer.concat([head(3, utf8.length), utf8])
  }
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encode)])
  const fields = Object.entries(value).map(([name, one]) => [encode(name), encode(one)] as const)
  fields.sort(([a], [b]) => Buffer.compare(a, b))
  return Buffer.concat([head(5, fields.length), ...fields.flat()])
}

// --- What a receipt is made of

const sha256 = (...parts: Buffer[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

function isSigned(signature: Buffer, message: Buffer, publicKey: Buffer): boolean {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

/** The root that a leaf and its path lead to (RFC 9162 §2.1.3.2). */
function rootOf(leaf: Buffer, index: number, size: number, path: Buffer[]): Buffer {
  if (index >= size) fail('it is not in its tree')
  let [at, last, root] = [index, size - 1, sha256(Buffer.of(0), leaf)]
  for (const hash of path) {
    if (last === 0) fail('it is not in its tree')
    const isRight = at % 2 === 1 || at === last
    root = isRight ? sha256(Buffer.of(1), hash, root) : sha256(Buffer.of(1), root, hash)
    if (isRight) while (at % 2 === 0) [at, last] = [at / 2, Math.floor(last / 2)]
    ;[at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  }
  return last === 0 ? root : fail('it is not in its tree')
}

/** The peer id and the payload of a libp2p signed envelope of an Ed25519 identity (libp2p RFC 0002). */
function openEnvelope(envelope: Buffer): { peer: string; payload: Buffer } {
  const fields = new Map<number, Buffer>()
  const varint = (from: number): [number, number] => {
    const low = envelope[from] ?? fail('its certificate is cut off')
    if (low < 128) return [low, from + 1]
    const high = envelope[from + 1] ?? fail('its certificate is cut off')
    return high < 128 ? [(low & 127) | (high << 7), from + 2] : fail('its certificate is too long')
  }
  for (let at = 0; at < envelope.length;) {
    const [tag, start] = varint(at)
    const [length, from] = varint(start)
    if (tag % 8 !== 2 || from + length > envelope.length) fail('its certificate is no envelope')
    fields.set(tag >> 3, envelope.subarray(from, (at = from + length)))
  }
  const field = (number: number): Buffer =>
    fields.get(number) ?? fail('its certificate lacks a part')
  const [key, type, payload, signature] = [field(1), field(2), field(3), field(5)]
  if (type.toString() !== '/stronghold/vault-keys/1') fail('its certificate is of another kind')
  if (key.length !== 36 || key.readUInt32BE() !== 0x08011220) fail('its node has no Ed25519 key')
  const sized = [Buffer.from('stronghold-vault-keys'), type, payload].flatMap((part) => [
    part.length < 128
      ? Buffer.of(part.length)
      : Buffer.of((part.length & 127) | 128, part.length >> 7),
    part,
  ])
  if (!isSigned(signature, Buffer.concat(sized), key.subarray(4))) fail('its certificate is forged')
  return { peer: base58(Buffer.concat([Buffer.of(0, key.length), key])), payload }
}

function base58(bytes: Buffer): string {
  const letters = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  let number = BigInt(`0x${bytes.toString('hex')}`)
  let word = ''
  for (; number > 0n; number /= 58n) word = letters.charAt(Number(number % 58n)) + word
  return `1${word}` // the leading zero byte
}

// --- Reading values

function fail(why: string): never {
  throw new Error(`The receipt is not right: ${why}`)
}
const bytes = (value: Value | undefined): Buffer =>
  Buffer.isBuffer(value) ? value : fail('it lacks bytes')
const text = (value: Value | undefined): string =>
  typeof value === 'string' ? value : fail('it lacks text')
const uint = (value: Value | undefined): number =>
  typeof value === 'number' ? value : fail('it lacks a number')
const list = (value: Value | undefined): Value[] =>
  Array.isArray(value) ? value : fail('it lacks a list')
function map(value: Value | undefined): Record<string, Value> {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isMap && !Buffer.isBuffer(value) ? value : fail('it lacks a map')
}
const same = (a: Value | undefined, b: Value | undefined): boolean => bytes(a).equals(bytes(b))

function main(file: string, peer: string, request?: string, answer?: string): void {
  const raw = readFileSync(file)
  const receipt = map(decode(raw))
  if (receipt['v'] !== 1 || !encode(receipt).equals(raw)) fail('it is of another form')
  const leafBytes = bytes(receipt['leaf'])
  const leaf = map(decode(leafBytes))
  if (leaf['domain'] !== 'stronghold/receipt/1' || !encode(leaf).equals(leafBytes))
    fail('it is of another form')
  const { publicKey, signature, ...head } = map(receipt['head'])

  const path = list(receipt['path']).map(bytes)
  const root = rootOf(leafBytes, uint(receipt['index']), uint(receipt['size']), path)
  if (!same(root, head['receipts'])) fail('the head does not hold it')
  const signed = Buffer.concat([Buffer.from('stronghold/head/1'), encode(head)])
  if (!isSigned(bytes(signature), signed, bytes(publicKey))) fail('the signature is wrong')
  if (!same(leaf['vault'], head['vault'])) fail('the head is of another vault')
  if (uint(leaf['position']) >= uint(head['auditLength'])) fail('the head is older than its entry')

  const envelope = openEnvelope(bytes(receipt['certificate']))
  const names = map(decode(envelope.payload))
  if (envelope.peer !== peer) fail(`its certificate is that of ${envelope.peer}`)
  if (!same(names['vault'], head['vault']) || !same(names['receiptKey'], publicKey))
    fail('its certificate is about another key')

  const use = list(leaf['use']).map(list)
  if (request !== undefined) {
    const records = use
      .filter(({ length }) => length === 5)
      .map(([, , , id = null, version = null]) => [id, version])
    const bound = { domain: 'stronghold/bound/1', request: sha256(readFileSync(request)), records }
    const expiresAtMs = uint(leaf['expiresAtMs'])
    if (!same(sha256(encode({ ...bound, expiresAtMs })), leaf['bound']))
      fail('it is about another request')
  }
  if (answer !== undefined && !same(sha256(readFileSync(answer)), leaf['result']))
    fail('it is about another answer')

  for (const [procedure, role, place, , version] of use) {
    console.log(
      text(procedure),
      text(role),
      text(place),
      version === undefined ? '' : `version ${uint(version)}`,
    )
  }
  const rule = leaf['rule'] ?? null
  console.log(
    `for ${text(leaf['peer'])}, rule ${rule === null ? '-' : text(rule)}, ${new Date(uint(leaf['at'])).toISOString()}`,
  )
  console.log(`The receipt is right: ${peer} vouches for it`)
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { request: { type: 'string' }, answer: { type: 'string' } },
})
const [file, peer] = positionals
if (file === undefined || peer === undefined) {
  console.error('usage: node verify-receipt.ts RECEIPT PEER-ID [--request FILE] [--answer FILE]')
  process.exitCode = 2
} else {
  try {
    main(file, peer, values.request, values.answer)
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}
