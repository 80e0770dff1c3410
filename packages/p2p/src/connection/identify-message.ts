/**
 * The identify message (libp2p/specs identify/README.md) as bytes, within a length. Pure; knows no stream and trusts
 * nothing that it reads.
 */
import { concat, decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { bytesField, decodeFields } from '../protobuf.ts'
import { decodeVarint, encodeVarint } from '../varint.ts'

/** What a peer tells of itself. Nothing of it is verified. */
export interface IdentifyMessage {
  /** The public key as the libp2p protobuf. */
  publicKey?: Uint8Array
  /** Multiaddrs as bytes. */
  listenAddresses: Uint8Array[]
  protocols: string[]
  /** The multiaddr under which the sender sees the receiver. */
  observedAddress?: Uint8Array
  protocolVersion?: string
  /** Name and version; printable ASCII, at most 128 characters. */
  agentVersion?: string
  /** An envelope with a peer record. */
  signedPeerRecord?: Uint8Array
}

// The field numbers of the message.
const PUBLIC_KEY = 1
const LISTEN_ADDRESS = 2
const PROTOCOL = 3
const OBSERVED_ADDRESS = 4
const PROTOCOL_VERSION = 5
const AGENT_VERSION = 6
const SIGNED_PEER_RECORD = 8

// Ours: what ends in a log or a terminal is short and holds no control character.
const MAX_VERSION_LENGTH = 128
/** Length-prefixed messages on one stream; large ones are sent in several. */
const MAX_MESSAGES = 10

/**
 * Writes a message of at most `maxBytes`, length prefix excluded. What does not fit is left out: first protocols
 * from the end of the list, then the peer record, then addresses from the end.
 */
export function encodeIdentify(message: IdentifyMessage, maxBytes: number): Uint8Array {
  let room = maxBytes
  const fields: Uint8Array[] = []
  const put = (field: number, value: Uint8Array | undefined): void => {
    if (value === undefined) return
    const encoded = bytesField(field, value)
    if (encoded.byteLength > room) return
    room -= encoded.byteLength
    fields.push(encoded)
  }
  const text = (value: string | undefined): Uint8Array | undefined =>
    value === undefined ? undefined : encodeUtf8(value)
  put(PUBLIC_KEY, message.publicKey)
  put(PROTOCOL_VERSION, text(message.protocolVersion))
  put(AGENT_VERSION, text(message.agentVersion))
  put(OBSERVED_ADDRESS, message.observedAddress)
  for (const address of message.listenAddresses) put(LISTEN_ADDRESS, address)
  put(SIGNED_PEER_RECORD, message.signedPeerRecord)
  for (const protocol of message.protocols) put(PROTOCOL, encodeUtf8(protocol))
  return concat(fields)
}

/** A message behind its length, as it goes on the stream. */
export function frameIdentify(message: Uint8Array): Uint8Array {
  return concat([encodeVarint(message.byteLength), message])
}

/**
 * The whole messages at the start of what a stream brought, joined: joined protobufs are the merged message. Undefined
 * when there is none.
 */
export function unframeIdentify(bytes: Uint8Array): Uint8Array | undefined {
  const messages: Uint8Array[] = []
  let at = 0
  while (messages.length < MAX_MESSAGES && at < bytes.byteLength) {
    const length = lengthAt(bytes, at)
    if (length === undefined) break
    const end = at + length.byteLength + length.value
    if (end > bytes.byteLength) break
    messages.push(bytes.subarray(at + length.byteLength, end))
    at = end
  }
  return messages.length === 0 ? undefined : concat(messages)
}

function lengthAt(bytes: Uint8Array, at: number): ReturnType<typeof decodeVarint> {
  try {
    return decodeVarint(bytes, at)
  } catch {
    return undefined
  }
}

/**
 * Reads a message. Work and memory stay within a small multiple of its length.
 *
 * @throws `SyntaxError` for what is no such message
 */
export function decodeIdentify(bytes: Uint8Array): IdentifyMessage {
  const message: IdentifyMessage = { listenAddresses: [], protocols: [] }
  for (const { field, value } of decodeFields(bytes)) {
    if (field > SIGNED_PEER_RECORD || field === 7) continue
    if (!(value instanceof Uint8Array)) {
      throw new SyntaxError('Cannot read the identify message: a field of another type')
    }
    switch (field) {
      case PUBLIC_KEY:
        message.publicKey = value
        break
      case LISTEN_ADDRESS:
        message.listenAddresses.push(value)
        break
      case PROTOCOL:
        message.protocols.push(decodeUtf8(value))
        break
      case OBSERVED_ADDRESS:
        message.observedAddress = value
        break
      case PROTOCOL_VERSION:
        message.protocolVersion = printable(decodeUtf8(value))
        break
      case AGENT_VERSION:
        message.agentVersion = printable(decodeUtf8(value))
        break
      case SIGNED_PEER_RECORD:
        message.signedPeerRecord = value
        break
    }
  }
  message.protocols = [...new Set(message.protocols)].filter((protocol) => protocol !== '')
  return message
}

function printable(text: string): string {
  return text.slice(0, MAX_VERSION_LENGTH).replaceAll(/[^\x20-\x7e]/g, '?')
}
