/**
 * multistream-select 1.0.0 as values: messages in and out, and both sides of a negotiation as state machines. It
 * refuses to know where bytes come from, how long anybody waits, and what a protocol means.
 */
import { concat } from '@stronghold/core'

/** The first message of either side. libp2p/specs connections/README.md, "multistream-select". */
export const MULTISTREAM_PROTOCOL = '/multistream/1.0.0'

/** The answer to a proposal that is not offered. */
const NOT_AVAILABLE = 'na'

/** Longest length prefix, in bytes (multiformats/unsigned-varint). */
const MAX_VARINT_BYTES = 9

const NEWLINE = 0x0a

/** What bounds a negotiation. All in bytes and counts; see `P2pLimits` for the defaults. */
export interface MultistreamLimits {
  /** Longest message, newline included, length prefix excluded. */
  maxNegotiationMessageBytes: number
  /** Proposals answered before the listener gives up. */
  maxNegotiationMessages: number
  /** Bytes of messages taken in all before either side gives up. */
  maxHandshakeBytes: number
}

/** One message: minimal varint length, text, newline. The bytes are the caller's. */
export function encodeMessage(text: string): Uint8Array {
  const body = new TextEncoder().encode(`${text}\n`)
  const prefix: number[] = []
  let left = body.byteLength
  for (; left > 0x7f; left >>>= 7) prefix.push((left & 0x7f) | 0x80)
  prefix.push(left)
  return concat([Uint8Array.from(prefix), body])
}

/** What a chunk brought: a message of which `used` bytes were in it, the wish for more, or the end. */
export type Decoded =
  | { kind: 'message'; text: string; used: number }
  | { kind: 'more' }
  | { kind: 'malformed'; problem: string }

/** Decodes messages cut anywhere. Holds at most one unfinished message. */
export class MessageDecoder {
  readonly #maxMessageBytes: number
  #varintBytes = 0
  #length = 0
  #held: Uint8Array = new Uint8Array(0)
  #heldBytes = 0

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** Takes from `chunk` until one message is whole; `more` took all of it. Dead after `malformed`. */
  feed(chunk: Uint8Array): Decoded {
    let at = 0
    while (!this.#lengthKnown()) {
      const byte = chunk[at]
      if (byte === undefined) return { kind: 'more' }
      at += 1
      const problem = this.#feedLength(byte)
      if (problem !== undefined) return { kind: 'malformed', problem }
    }
    const used = at + Math.min(this.#length - this.#heldBytes, chunk.byteLength - at)
    const part = chunk.subarray(at, used)
    if (this.#heldBytes + part.byteLength < this.#length) {
      this.#hold(part)
      return { kind: 'more' }
    }
    const body = this.#heldBytes === 0 ? part : this.#hold(part)
    this.#varintBytes = 0
    this.#length = 0
    this.#heldBytes = 0
    const text = textOf(body)
    return text === undefined
      ? { kind: 'malformed', problem: 'a message that is no line of text' }
      : { kind: 'message', text, used }
  }

  /** A length is known once a byte without the continuation bit came; -1 marks that it has not. */
  #lengthKnown(): boolean {
    return this.#varintBytes < 0
  }

  #feedLength(byte: number): string | undefined {
    // No bit operators: the ninth byte reaches bit 62, and `<<` knows 32.
    this.#length += (byte & 0x7f) * 2 ** (7 * this.#varintBytes)
    this.#varintBytes += 1
    if (this.#length > this.#maxMessageBytes) return 'a message that is too long'
    if (byte >= 0x80) {
      return this.#varintBytes === MAX_VARINT_BYTES ? 'a length without an end' : undefined
    }
    if (byte === 0 && this.#varintBytes > 1) return 'a length that is not minimal'
    this.#varintBytes = -1
    return undefined
  }

  /** Copies what has come; grows by doubling, so that what was announced costs nothing until it is sent. */
  #hold(part: Uint8Array): Uint8Array {
    const needed = this.#heldBytes + part.byteLength
    if (needed > this.#held.byteLength) {
      const grown = new Uint8Array(Math.min(Math.max(64, 2 * needed), this.#maxMessageBytes))
      grown.set(this.#held.subarray(0, this.#heldBytes))
      this.#held = grown
    }
    this.#held.set(part, this.#heldBytes)
    this.#heldBytes = needed
    return this.#held.subarray(0, needed)
  }
}

function textOf(body: Uint8Array): string | undefined {
  if (body.at(-1) !== NEWLINE) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body.subarray(0, -1))
  } catch {
    return undefined
  }
}

/** What a chunk did to a negotiation: bytes to send now, and how it ended when it did. */
export interface Negotiated {
  /** Belongs in one write, before anything else is done. Empty: nothing to send. */
  send: Uint8Array
  /** Set once, at the end. */
  end?: NegotiationEnd
}

/** How a negotiation ended. `rest` follows the last message and belongs to the protocol agreed on. */
export type NegotiationEnd =
  | { kind: 'agreed'; protocol: string; rest: Uint8Array }
  | { kind: 'refused' }
  | { kind: 'malformed'; problem: string }
  | { kind: 'exhausted'; problem: string }

const NOTHING = new Uint8Array(0)

/** The listener's side: answers proposals in order until one is offered. `ls` is answered like any other: `na`. */
export class Listening {
  readonly #offers: (protocol: string) => boolean
  readonly #limits: MultistreamLimits
  readonly #decoder: MessageDecoder
  #greeted = false
  #proposals = 0
  #bytes = 0

  constructor(offers: (protocol: string) => boolean, limits: MultistreamLimits) {
    this.#offers = offers
    this.#limits = limits
    this.#decoder = new MessageDecoder(limits.maxNegotiationMessageBytes)
  }

  /** Bytes of messages taken so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Feed it no more once it ended. */
  feed(chunk: Uint8Array): Negotiated {
    const answers: Uint8Array[] = []
    const done = (end?: NegotiationEnd): Negotiated => {
      const send = answers.length === 0 ? NOTHING : concat(answers)
      return end === undefined ? { send } : { send, end }
    }
    let rest = chunk
    for (;;) {
      const step = this.#decoder.feed(rest)
      if (step.kind === 'malformed') return done(step)
      this.#bytes += step.kind === 'more' ? rest.byteLength : step.used
      if (this.#bytes > this.#limits.maxHandshakeBytes) {
        return done({ kind: 'exhausted', problem: 'too many bytes' })
      }
      if (step.kind === 'more') return done()
      rest = rest.subarray(step.used)
      if (!this.#greeted) {
        if (step.text !== MULTISTREAM_PROTOCOL) {
          return done({ kind: 'malformed', problem: 'another protocol than multistream-select' })
        }
        this.#greeted = true
        answers.push(encodeMessage(MULTISTREAM_PROTOCOL))
        continue
      }
      if (this.#offers(step.text)) {
        answers.push(encodeMessage(step.text))
        return done({ kind: 'agreed', protocol: step.text, rest })
      }
      answers.push(encodeMessage(NOT_AVAILABLE))
      this.#proposals += 1
      if (this.#proposals >= this.#limits.maxNegotiationMessages) {
        return done({ kind: 'exhausted', problem: 'too many proposals' })
      }
    }
  }
}

/** The dialer's side: proposes one after the other until one is echoed. */
export class Proposing {
  readonly #protocols: readonly string[]
  readonly #decoder: MessageDecoder
  readonly #maxBytes: number
  #greeted = false
  #at = 0
  #bytes = 0

  /** @throws `RangeError` without a protocol */
  constructor(protocols: readonly string[], limits: MultistreamLimits) {
    if (protocols.length === 0) throw new RangeError('Cannot negotiate: no protocol to propose')
    this.#protocols = protocols
    this.#decoder = new MessageDecoder(limits.maxNegotiationMessageBytes)
    this.#maxBytes = limits.maxHandshakeBytes
  }

  /** The greeting and the first proposal, together: what may travel ahead of the protocol's own first bytes. */
  opening(): Uint8Array {
    return concat([encodeMessage(MULTISTREAM_PROTOCOL), encodeMessage(this.#proposal)])
  }

  /** Bytes of messages taken so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Feed it no more once it ended. */
  feed(chunk: Uint8Array): Negotiated {
    let rest = chunk
    for (;;) {
      const step = this.#decoder.feed(rest)
      if (step.kind === 'malformed') return { send: NOTHING, end: step }
      this.#bytes += step.kind === 'more' ? rest.byteLength : step.used
      if (this.#bytes > this.#maxBytes) {
        return { send: NOTHING, end: { kind: 'exhausted', problem: 'too many bytes' } }
      }
      if (step.kind === 'more') return { send: NOTHING }
      rest = rest.subarray(step.used)
      if (!this.#greeted) {
        if (step.text !== MULTISTREAM_PROTOCOL) {
          const problem = 'another protocol than multistream-select'
          return { send: NOTHING, end: { kind: 'malformed', problem } }
        }
        this.#greeted = true
        continue
      }
      if (step.text === this.#proposal) {
        return { send: NOTHING, end: { kind: 'agreed', protocol: step.text, rest } }
      }
      if (step.text !== NOT_AVAILABLE) {
        return {
          send: NOTHING,
          end: { kind: 'malformed', problem: 'an answer to another proposal' },
        }
      }
      if (this.#at + 1 === this.#protocols.length)
        return { send: NOTHING, end: { kind: 'refused' } }
      this.#at += 1
      // Whatever came behind an answer came before it was asked for.
      if (rest.byteLength > 0) {
        return {
          send: NOTHING,
          end: { kind: 'malformed', problem: 'an answer ahead of its question' },
        }
      }
      return { send: encodeMessage(this.#proposal) }
    }
  }

  get #proposal(): string {
    return this.#protocols[this.#at] ?? ''
  }
}
