/**
 * CBOR of what is written again and again, all alike but for a few bytes: the last of a kind is kept as a mold, and the next
 * is poured into it. The bytes are those of `encodeEntry`, `requestBytes` and `encodeAnswered`, which also write, and check,
 * every first of its kind. It knows no rules and no disk.
 */
import { encode, equalBytes, fromHex } from '@stronghold/core'

import { encodeEntry } from './audit/entry.ts'
import type { AuditFacts, NewEntry } from './audit/entry.ts'
import { requestBytes } from './hashed.ts'
import type { HashedRequest } from './hashed.ts'
import { encodeAnswered } from './held.ts'
import type { HeldRequest } from './held.ts'
import { MAX_MOLD_BYTES, MAX_MOLDS } from './limits.ts'

const ID_BYTES = 16
/** Where the time begins in an entry: after the head of the map and `at`; eight bytes behind a head of its own. */
const AT_OFFSET = 4
/** Where the id begins in an entry: `at`, `event`, `request`, `facts`, and `id` as the first of these. */
const ENTRY_ID_OFFSET = 38
/** Where the id begins in a request: it is the first of its fields. */
const REQUEST_ID_OFFSET = 5
/** Where what follows the id of an answered request begins: its hash, then two times, each behind its head. */
const HASH_BYTES = 32
const HASH_OFFSET = ID_BYTES + 2
const EXPIRES_OFFSET = HASH_OFFSET + HASH_BYTES + 1
const ASKED_OFFSET = EXPIRES_OFFSET + 9
const BYTES_OF_16 = 0x50
const UINT64 = 0x1b
const TWO_32 = 2 ** 32

type RequestFacts = AuditFacts['request']

/** Audit entries about requests that differ in time and id. */
export class EntryMolds {
  readonly #known = new Recent<{ readonly facts: RequestFacts; readonly bytes: Uint8Array }>()

  /** The same as `encodeEntry`. Throws alike. */
  encode(entry: NewEntry): Uint8Array {
    if (entry.event !== 'request') return encodeEntry(entry)
    const { at, facts } = entry
    const { id, peer, connection, rule, use } = facts
    const fits = isLong(at) && isId(id) && isList(use)
    if (!fits) return encodeEntry(entry)
    const name = `${rule ?? ''} ${peer} ${use[0]?.[2] ?? ''} ${connection}`
    const known = this.#known.get(name)
    if (known === undefined || !isLike(known.facts, facts, 'id')) {
      const bytes = encodeEntry(entry)
      if (isMold(bytes, ENTRY_ID_OFFSET) && bytes[AT_OFFSET] === UINT64) {
        this.#known.set(name, { facts, bytes: new Uint8Array(bytes) })
      }
      return bytes
    }
    const bytes = new Uint8Array(known.bytes)
    writeUint64(bytes, AT_OFFSET + 1, at)
    bytes.set(id, ENTRY_ID_OFFSET)
    return bytes
  }
}

/** Requests of one step that differ in their ids and in the message, a field of that name. */
export class RequestMolds {
  readonly #known = new Recent<{
    readonly request: HashedRequest
    /** What stands before the message, and what behind it. */
    readonly before: Uint8Array
    readonly behind: Uint8Array
  }>()

  /** The same as `requestBytes`. Throws alike. */
  encode(request: HashedRequest): Uint8Array {
    const { id, peer, steps } = request
    const [step] = steps
    const message = step?.input['message']
    if (steps.length !== 1 || !(message instanceof Uint8Array) || !isId(id)) {
      return requestBytes(request)
    }
    const key = step?.input['key']
    const name = `${typeof key === 'string' ? key : ''} ${peer}`
    const known = this.#known.get(name)
    if (known !== undefined && isAlike(known.request, request)) {
      const { before, behind } = known
      const head = headOf(message.byteLength)
      const bytes = new Uint8Array(
        before.byteLength + head.length + message.byteLength + behind.byteLength,
      )
      bytes.set(before)
      bytes.set(id, REQUEST_ID_OFFSET)
      bytes.set(head, before.byteLength)
      bytes.set(message, before.byteLength + head.length)
      bytes.set(behind, bytes.byteLength - behind.byteLength)
      return bytes
    }
    const bytes = requestBytes(request)
    const empty = new Uint8Array()
    const bare = { ...request, steps: steps.map((one) => withMessage(one, empty)) }
    const mold = requestBytes(bare)
    // The first difference is the head of the message, a single byte where nothing stands behind it.
    const at = bytes.findIndex((byte, index) => byte !== mold[index])
    if (at > 0 && isMold(mold, REQUEST_ID_OFFSET)) {
      const [before, behind] = [mold.slice(0, at), mold.slice(at + 1)]
      // Copied: what whoever asked changes in its own objects later is another request. All else is the guard's own.
      const copy = { ...bare, steps: structuredClone(bare.steps) }
      this.#known.set(name, { request: copy, before, behind })
    }
    return bytes
  }
}

/** Signatures that were made at once, alike but for id and hash of the request, its times and the signature. */
export class AnswerMolds {
  readonly #known = new Recent<{
    readonly receipt: boolean
    readonly version: unknown
    readonly bytes: Uint8Array
    /** Where the id begins. */
    readonly at: number
  }>()

  /** The same as `encodeAnswered`. Throws alike. */
  encode(held: HeldRequest): Uint8Array {
    const { peer, id, requestHash, expiresAtMs, askedAtMs, receipt, answer } = held
    const signed = signedIn(answer)
    const fits = isLong(expiresAtMs) && isLong(askedAtMs) && requestHash.byteLength === HASH_BYTES
    if (signed === undefined || !fits || id.length !== 2 * ID_BYTES) return encodeAnswered(held)
    const { signature, version } = signed
    const name = `${signature.byteLength} ${peer}`
    const known = this.#known.get(name)
    if (known?.receipt !== receipt || !Object.is(known.version, version)) {
      const bytes = encodeAnswered(held)
      const at = 1 + encode(peer).byteLength + 1
      if (isAnswerMold(bytes, at, signature)) {
        this.#known.set(name, { receipt, version, bytes: new Uint8Array(bytes), at })
      }
      return bytes
    }
    const { at } = known
    const bytes = new Uint8Array(known.bytes)
    bytes.set(fromHex(id), at)
    bytes.set(requestHash, at + HASH_OFFSET)
    writeUint64(bytes, at + EXPIRES_OFFSET, expiresAtMs)
    writeUint64(bytes, at + ASKED_OFFSET, askedAtMs)
    bytes.set(signature, bytes.byteLength - signature.byteLength)
    return bytes
  }
}

/** What came last under each of `MAX_MOLDS` names; the oldest name goes first. */
class Recent<T> {
  readonly #all = new Map<string, T>()

  get(name: string): T | undefined {
    return this.#all.get(name)
  }

  set(name: string, one: T): void {
    for (const oldest of this.#all.keys()) {
      if (this.#all.size < MAX_MOLDS || this.#all.has(name)) break
      this.#all.delete(oldest)
    }
    this.#all.set(name, one)
  }
}

/** Requests alike but for id and message. */
function isAlike(a: HashedRequest, b: HashedRequest): boolean {
  const [one, other] = [a.steps[0], b.steps[0]]
  return (
    one !== undefined &&
    other !== undefined &&
    a.reason === b.reason &&
    a.timeoutMs === b.timeoutMs &&
    one.procedure === other.procedure &&
    one.version === other.version &&
    isLike(one.input, other.input, 'message') &&
    isSame(a.formats, b.formats) &&
    isSame(a.footprint, b.footprint) &&
    a.peer === b.peer &&
    isSame(a.vault, b.vault)
  )
}

/** Maps with the same members, one apart. */
function isLike(a: object, b: object, apart?: string): boolean {
  const names = Object.keys(b)
  if (Object.keys(a).length !== names.length) return false
  for (const name of names) {
    if (!Object.hasOwn(a, name)) return false
    if (name !== apart && !isSame(member(a, name), member(b, name))) return false
  }
  return true
}

/** Values of one form in CBOR, as far as it can be told at a glance. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  // What is no plain value has no form; another prototype is another thing.
  const prototype: unknown = Object.getPrototypeOf(a)
  if (prototype !== Object.getPrototypeOf(b)) return false
  if (prototype === Object.prototype) return isLike(a, b)
  if (!(a instanceof Uint8Array || Array.isArray(a))) return false
  const [ones, others] = [a as ArrayLike<unknown>, b as ArrayLike<unknown>]
  if (ones.length !== others.length) return false
  for (let i = 0; i < ones.length; i++) if (!isSame(ones[i], others[i])) return false
  return true
}

function member(of: object, name: string): unknown {
  return (of as Readonly<Record<string, unknown>>)[name]
}

function withMessage<S extends HashedRequest['steps'][number]>(step: S, message: Uint8Array): S {
  return { ...step, input: { ...step.input, message } }
}

function isId(id: unknown): boolean {
  return id instanceof Uint8Array && id.byteLength === ID_BYTES
}

function isList(value: unknown): boolean {
  return Array.isArray(value)
}

function isMold(bytes: Uint8Array, idOffset: number): boolean {
  return bytes.byteLength <= MAX_MOLD_BYTES && bytes[idOffset - 1] === BYTES_OF_16
}

/** A signature that is all of an answer. */
function signedIn(
  answer: HeldRequest['answer'],
): { readonly signature: Uint8Array; readonly version: unknown } | undefined {
  if (answer?.kind !== 'done' || Object.keys(answer).length !== 2) return undefined
  const [output, ...others] = answer.outputs
  if (output === undefined || others.length > 0 || Object.keys(output).length !== 2)
    return undefined
  const { signature, version } = output
  const fits = signature instanceof Uint8Array && Object.hasOwn(output, 'version')
  return fits && version !== undefined ? { signature, version } : undefined
}

/** Whether all stands where it is poured. Deterministic CBOR sorts shorter names first: the signature comes last. */
function isAnswerMold(bytes: Uint8Array, at: number, signature: Uint8Array): boolean {
  return (
    isMold(bytes, at) &&
    bytes[at + EXPIRES_OFFSET - 1] === UINT64 &&
    bytes[at + ASKED_OFFSET - 1] === UINT64 &&
    equalBytes(bytes.subarray(bytes.byteLength - signature.byteLength), signature)
  )
}

/** A number that takes eight bytes. */
function isLong(value: number): boolean {
  return Number.isSafeInteger(value) && value >= TWO_32
}

/** RFC 8949 §3.1: the head of a byte string. */
function headOf(length: number): number[] {
  if (length < 24) return [0x40 | length]
  if (length < 0x100) return [0x58, length]
  if (length < 0x10000) return [0x59, length >>> 8, length & 0xff]
  return [0x5a, length >>> 24, (length >>> 16) & 0xff, (length >>> 8) & 0xff, length & 0xff]
}

function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / TWO_32))
  writeUint32(bytes, at + 4, value % TWO_32)
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
