/**
 * DNS messages (RFC 1035 §4) as far as multicast DNS needs them: questions, and records of five types. Pure; it knows no
 * socket and no service. Work and memory stay within a small multiple of the message.
 */
import { concat } from '@stronghold/core'

/** Record types (RFC 1035 §3.2.2, RFC 3596, RFC 2782). */
export const DNS_TYPES = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33 } as const

/** A question for any type (RFC 1035 §3.2.3). */
export const DNS_ANY = 255

/**
 * A name: labels joined by dots, in lower case, as names compare. A dot or backslash inside a label stands behind a
 * backslash; bytes that are no ASCII are one character each.
 */
export type DnsName = string

/** A question. */
export interface DnsQuestion {
  name: DnsName
  /** One of `DNS_TYPES`, `DNS_ANY` or any other. */
  type: number
  /** The answer may come to the asker alone (RFC 6762 §5.4). */
  unicast: boolean
}

/** What a record says. */
export type DnsData =
  | { type: 'A'; /** 4 bytes. */ address: Uint8Array }
  | { type: 'AAAA'; /** 16 bytes. */ address: Uint8Array }
  | { type: 'PTR'; target: DnsName }
  | { type: 'SRV'; priority: number; weight: number; port: number; target: DnsName }
  | { type: 'TXT'; /** Each of at most 255 bytes. */ strings: Uint8Array[] }

/** A record. */
export interface DnsRecord {
  name: DnsName
  /** Seconds. 0: it is gone. */
  ttl: number
  /** What was known under this name and type before is void (RFC 6762 §10.2). */
  flush: boolean
  data: DnsData
}

/** A message. */
export interface DnsMessage {
  /** 0 in multicast DNS, but for askers of the old kind (RFC 6762 §6.7). */
  id: number
  response: boolean
  questions: DnsQuestion[]
  answers: DnsRecord[]
  additionals: DnsRecord[]
}

/** How much of a message is read. */
export interface DnsLimits {
  /** Longest message. */
  maxBytes: number
  /** Questions and records in one. */
  maxRecords: number
}

// RFC 1035 §2.3.4: in bytes on the wire, length bytes and the final zero included.
const MAX_NAME_BYTES = 255
const MAX_LABEL_BYTES = 63
const HEADER_BYTES = 12
const POINTER = 0xc0
const MAX_POINTER_OFFSET = 0x3fff
// RFC 6762 §18: the bits that multicast DNS looks at.
const RESPONSE = 0x8000
const AUTHORITATIVE = 0x0400
const OPCODE_AND_RCODE = 0x780f
const CLASS_IN = 1
const CLASS_ANY = 255
/** Unicast answer wanted in a question, flush in a record. */
const TOP_BIT = 0x8000

/**
 * Reads a message. Records of other types and classes are left out, and authority records, which say nothing here.
 *
 * @throws `SyntaxError` for anything that is no whole message, has more than the limits allow, or is neither a plain
 *   query nor a plain response
 */
export function decodeDns(bytes: Uint8Array, limits: DnsLimits): DnsMessage {
  if (bytes.byteLength > limits.maxBytes) throw malformed('too long')
  const reader = new Reader(bytes)
  const id = reader.uint16()
  const flags = reader.uint16()
  if ((flags & OPCODE_AND_RCODE) !== 0) throw malformed('another kind of message')
  const [asked = 0, answered = 0, authority = 0, additional = 0] = [1, 2, 3, 4].map(() =>
    reader.uint16(),
  )
  if (asked + answered + authority + additional > limits.maxRecords) throw malformed('too many')
  const questions = reader.questions(asked)
  const answers = reader.records(answered)
  reader.records(authority)
  const additionals = reader.records(additional)
  if (!reader.done) throw malformed('something behind its end')
  return { id, response: (flags & RESPONSE) !== 0, questions, answers, additionals }
}

/**
 * Writes a message, names compressed.
 *
 * @throws `RangeError` for a name, label, string or number that does not fit its field
 */
export function encodeDns(message: DnsMessage): Uint8Array {
  const writer = new Writer()
  const { id, response, questions, answers, additionals } = message
  writer.uint16(id)
  writer.uint16(response ? RESPONSE | AUTHORITATIVE : 0)
  for (const list of [questions, answers, [], additionals]) writer.uint16(list.length)
  for (const { name, type, unicast } of questions) {
    writer.name(name)
    writer.uint16(type)
    writer.uint16(CLASS_IN | (unicast ? TOP_BIT : 0))
  }
  for (const record of [...answers, ...additionals]) writer.record(record)
  return writer.bytes()
}

/** The labels of a name. */
export function labelsOf(name: DnsName): string[] {
  const labels = name.match(/(?:[^.\\]|\\.)+/gs) ?? []
  return labels.map((label) => label.replace(/\\(.)/gs, '$1'))
}

/** The name of labels. */
export function nameOf(labels: readonly string[]): DnsName {
  return labels.map((label) => lower(label).replace(/[.\\]/g, '\\$&')).join('.')
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    if (bytes.byteLength < HEADER_BYTES) throw malformed('cut off')
  }

  get done(): boolean {
    return this.#at === this.#bytes.byteLength
  }

  uint8(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw malformed('cut off')
    this.#at += 1
    return byte
  }

  uint16(): number {
    return this.uint8() * 0x100 + this.uint8()
  }

  take(length: number): Uint8Array {
    if (length > this.#bytes.byteLength - this.#at) throw malformed('cut off')
    this.#at += length
    return this.#bytes.slice(this.#at - length, this.#at)
  }

  questions(count: number): DnsQuestion[] {
    const questions: DnsQuestion[] = []
    for (let i = 0; i < count; i++) {
      const name = this.name()
      const type = this.uint16()
      const group = this.uint16()
      if (!isInternet(group, true)) continue
      questions.push({ name, type, unicast: (group & TOP_BIT) !== 0 })
    }
    return questions
  }

  records(count: number): DnsRecord[] {
    const records: DnsRecord[] = []
    for (let i = 0; i < count; i++) {
      const name = this.name()
      const type = this.uint16()
      const group = this.uint16()
      const ttl = this.uint16() * 0x10000 + this.uint16()
      const length = this.uint16()
      const end = this.#at + length
      if (end > this.#bytes.byteLength) throw malformed('cut off')
      const data = this.#data(type, length)
      // Nothing in a record may run over its end, nor leave a rest that another reader would see.
      if (data !== undefined && this.#at !== end) throw malformed('a record of another length')
      this.#at = end
      if (data === undefined || !isInternet(group, false)) continue
      records.push({ name, ttl, flush: (group & TOP_BIT) !== 0, data })
    }
    return records
  }

  #data(type: number, length: number): DnsData | undefined {
    switch (type) {
      case DNS_TYPES.A:
        if (length !== 4) throw malformed('an address of another length')
        return { type: 'A', address: this.take(4) }
      case DNS_TYPES.AAAA:
        if (length !== 16) throw malformed('an address of another length')
        return { type: 'AAAA', address: this.take(16) }
      case DNS_TYPES.PTR:
        return { type: 'PTR', target: this.name() }
      case DNS_TYPES.SRV:
        return {
          type: 'SRV',
          priority: this.uint16(),
          weight: this.uint16(),
          port: this.uint16(),
          target: this.name(),
        }
      case DNS_TYPES.TXT:
        return { type: 'TXT', strings: this.#strings(this.#at + length) }
      default:
        return undefined
    }
  }

  #strings(end: number): Uint8Array[] {
    const strings: Uint8Array[] = []
    while (this.#at < end) strings.push(this.take(this.uint8()))
    return strings
  }

  /** A name, following pointers. Each must lead before the place where its part of the name began: no loop is possible. */
  name(): DnsName {
    const labels: string[] = []
    let wireBytes = 1
    let from = this.#at
    let at = this.#at
    let resumeAt: number | undefined
    for (;;) {
      const length = this.#byteAt(at)
      if (length === 0) {
        this.#at = resumeAt ?? at + 1
        return labels.join('.')
      }
      if (length >= POINTER) {
        const target = (length - POINTER) * 0x100 + this.#byteAt(at + 1)
        if (target >= from || target < HEADER_BYTES) throw malformed('a pointer that leads nowhere')
        resumeAt ??= at + 2
        from = target
        at = target
        continue
      }
      if (length > MAX_LABEL_BYTES) throw malformed('a label of another kind')
      wireBytes += length + 1
      if (wireBytes > MAX_NAME_BYTES) throw malformed('a name that is too long')
      if (at + 1 + length > this.#bytes.byteLength) throw malformed('cut off')
      labels.push(this.#label(at + 1, length))
      at += 1 + length
    }
  }

  /** As `nameOf` writes a label, without its detours: this is what a flood would cost. */
  #label(from: number, length: number): string {
    let label = ''
    for (let at = from; at < from + length; at++) {
      const byte = this.#bytes[at] ?? 0
      const isUpper = byte >= 0x41 && byte <= 0x5a
      if (byte === 0x2e || byte === 0x5c) label += '\\'
      label += String.fromCharCode(isUpper ? byte + 0x20 : byte)
    }
    return label
  }

  #byteAt(at: number): number {
    const byte = this.#bytes[at]
    if (byte === undefined) throw malformed('cut off')
    return byte
  }
}

class Writer {
  readonly #chunks: Uint8Array[] = []
  readonly #names = new Map<string, number>()
  #length = 0

  bytes(): Uint8Array {
    return concat(this.#chunks)
  }

  put(bytes: Uint8Array): void {
    this.#chunks.push(bytes)
    this.#length += bytes.byteLength
  }

  uint16(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff) {
      throw new RangeError('Cannot encode a DNS message: no number of 16 bits')
    }
    this.put(Uint8Array.of(value >> 8, value & 0xff))
  }

  name(name: DnsName): void {
    const labels = labelsOf(name)
    if (labels.reduce((sum, label) => sum + label.length + 1, 1) > MAX_NAME_BYTES) {
      throw new RangeError('Cannot encode a DNS message: a name is longer than 255 bytes')
    }
    for (let i = 0; i < labels.length; i++) {
      const rest = nameOf(labels.slice(i))
      const known = this.#names.get(rest)
      if (known !== undefined) return this.uint16(POINTER * 0x100 + known)
      if (this.#length <= MAX_POINTER_OFFSET) this.#names.set(rest, this.#length)
      this.put(this.#label(labels[i] ?? ''))
    }
    this.put(Uint8Array.of(0))
  }

  record({ name, ttl, flush, data }: DnsRecord): void {
    this.name(name)
    this.uint16(DNS_TYPES[data.type])
    this.uint16(CLASS_IN | (flush ? TOP_BIT : 0))
    if (!Number.isInteger(ttl) || ttl < 0 || ttl > 0xffffffff) {
      throw new RangeError('Cannot encode a DNS message: ttl is no number of 32 bits')
    }
    this.uint16(Math.floor(ttl / 0x10000))
    this.uint16(ttl % 0x10000)
    const length = new Uint8Array(2)
    this.put(length)
    const from = this.#length
    this.#data(data)
    const bytes = this.#length - from
    if (bytes > 0xffff) throw new RangeError('Cannot encode a DNS message: a record is too long')
    length.set([bytes >> 8, bytes & 0xff])
  }

  #data(data: DnsData): void {
    switch (data.type) {
      case 'A':
      case 'AAAA':
        if (data.address.byteLength !== (data.type === 'A' ? 4 : 16)) {
          throw new RangeError('Cannot encode a DNS message: an address of another length')
        }
        return this.put(data.address)
      case 'PTR':
        return this.name(data.target)
      case 'SRV':
        for (const value of [data.priority, data.weight, data.port]) this.uint16(value)
        return this.name(data.target)
      case 'TXT':
        for (const text of data.strings) {
          if (text.byteLength > 255) {
            throw new RangeError('Cannot encode a DNS message: a string is longer than 255 bytes')
          }
          this.put(Uint8Array.of(text.byteLength))
          this.put(text)
        }
    }
  }

  #label(label: string): Uint8Array {
    const bytes = Uint8Array.from(label, (char) => char.charCodeAt(0))
    if (bytes.byteLength === 0 || bytes.byteLength > MAX_LABEL_BYTES || hasWide(label)) {
      throw new RangeError('Cannot encode a DNS message: a label is not 1 to 63 bytes')
    }
    return concat([Uint8Array.of(bytes.byteLength), bytes])
  }
}

function hasWide(label: string): boolean {
  for (let i = 0; i < label.length; i++) if (label.charCodeAt(i) > 0xff) return true
  return false
}

/** ASCII only: other bytes have no case (RFC 6762 §16). */
function lower(text: string): string {
  return text.replace(/[A-Z]/g, (char) => char.toLowerCase())
}

function isInternet(group: number, question: boolean): boolean {
  const plain = group & ~TOP_BIT
  return plain === CLASS_IN || (question && plain === CLASS_ANY)
}

function malformed(state: string): SyntaxError {
  return new SyntaxError(`Cannot read the DNS message: ${state}`)
}
