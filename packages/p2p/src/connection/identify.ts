/**
 * Identify and identify/push as a libp2p service: tells what we are, asks every new connection once, and puts the
 * answer where libp2p's other parts look for it. A peer that knows neither is as good as any other.
 */
import { serviceCapabilities } from '@libp2p/interface'
import type {
  ComponentLogger,
  Connection,
  IdentifyResult,
  Libp2pEvents,
  Logger,
  PeerData,
  PeerId,
  PeerStore,
  SignedPeerRecord,
  Startable,
  Stream,
  TypedEventTarget,
} from '@libp2p/interface'
import type { AddressManager, ConnectionManager, Registrar } from '@libp2p/interface-internal'
import { CODE_P2P, multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { concat, encodeUtf8, equalBytes } from '@stronghold/core'

import { systemClock } from '../clock.ts'
import { P2pError } from '../errors.ts'
import { addressOf, peerIdOf } from '../identity.ts'
import { peerIdOfKey } from '../keys.ts'
import { openPeerRecord, peekPeerRecord, sealPeerRecord } from '../peer-record.ts'
import type { Clock } from '../clock.ts'
import type { P2pLimits } from '../limits.ts'
import type { Identity } from '../open-identity.ts'

import {
  decodeIdentify,
  encodeIdentify,
  frameIdentify,
  unframeIdentify,
} from './identify-message.ts'
import { pipeOf } from './message-stream.ts'
import type { IdentifyMessage } from './identify-message.ts'
import type { Pipe } from './pipe.ts'

/** Asked: libp2p/specs identify/README.md "identify". */
export const IDENTIFY_PROTOCOL = '/ipfs/id/1.0.0'
/** Told unasked: libp2p/specs identify/README.md "identify/push". */
export const IDENTIFY_PUSH_PROTOCOL = '/ipfs/id/push/1.0.0'

// What go and js say; says nothing of us.
const PROTOCOL_VERSION = 'ipfs/0.1.0'

// Ours: changes of one moment travel together, and to few peers at a time.
const PUSH_DELAY_MS = 1000
const PUSHES_AT_ONCE = 8
const STREAMS_PER_CONNECTION = 2
/** Length prefixes of a message that came in several. */
const FRAMING_BYTES = 32

/** What our identify needs to know. */
export interface IdentifyInit {
  identity: Pick<Identity, 'peer' | 'publicKey' | 'sign'>
  limits: Pick<
    P2pLimits,
    'maxIdentifyBytes' | 'maxAddressesPerPeer' | 'identifyTimeoutMs' | 'maxIdentifiedPeers'
  >
  /** Name and version and nothing else, such as `stronghold/0.1.0`. */
  agentVersion: string
  /** Told where a peer sees us. */
  onObserved?: (address: Multiaddr, connection: Connection) => void
  /** Default: the machine's. */
  clock?: Clock
}

/** The parts of libp2p that identify touches. */
export interface IdentifyComponents {
  registrar: Registrar
  peerStore: PeerStore
  addressManager: AddressManager
  connectionManager: ConnectionManager
  events: TypedEventTarget<Libp2pEvents>
  logger: ComponentLogger
}

/** The service. */
export interface IdentifyService extends Startable {
  readonly [serviceCapabilities]: string[]
  /**
   * Asks the other side of a connection; every caller gets the same answer.
   *
   * @throws `P2pError` `unimplemented` by peers without identify, and as any stream fails
   */
  identify(connection: Connection): Promise<IdentifyResult>
  /** Tells all connected peers that listen to it what we are now. */
  push(): Promise<void>
}

/** Makes the service: `services: { identify: identify(init) }`. */
export function identify(init: IdentifyInit): (components: IdentifyComponents) => IdentifyService {
  return (components) => new Identifying(init, components)
}

class Identifying implements IdentifyService {
  readonly [serviceCapabilities]: string[] = ['@libp2p/identify', '@libp2p/identify-push']
  readonly #init: IdentifyInit
  readonly #parts: IdentifyComponents
  readonly #clock: Clock
  readonly #log: Logger
  readonly #answers = new WeakMap<Connection, Promise<IdentifyResult>>()
  /** Whose entries stand in the store, the least recent first. */
  readonly #known = new Map<string, PeerId>()
  #record: { addresses: Uint8Array; sealed: Promise<Uint8Array> } | undefined
  #lastSeq = 0n
  #stopPush: (() => void) | undefined
  #started = false

  constructor(init: IdentifyInit, components: IdentifyComponents) {
    this.#init = init
    this.#parts = components
    this.#clock = init.clock ?? systemClock
    this.#log = components.logger.forComponent('stronghold:identify')
  }

  async start(): Promise<void> {
    if (this.#started) return
    this.#started = true
    const { registrar, events } = this.#parts
    const options = {
      maxInboundStreams: STREAMS_PER_CONNECTION,
      maxOutboundStreams: STREAMS_PER_CONNECTION,
      runOnLimitedConnection: true,
    }
    await registrar.handle(
      IDENTIFY_PROTOCOL,
      (stream, connection) => this.#tell(stream, connection),
      options,
    )
    await registrar.handle(
      IDENTIFY_PUSH_PROTOCOL,
      (stream, connection) => this.#hear(stream, connection),
      options,
    )
    events.addEventListener('connection:open', this.#onOpen)
    events.addEventListener('self:peer:update', this.#onSelfUpdate)
  }

  async stop(): Promise<void> {
    if (!this.#started) return
    this.#started = false
    const { registrar, events } = this.#parts
    events.removeEventListener('connection:open', this.#onOpen)
    events.removeEventListener('self:peer:update', this.#onSelfUpdate)
    this.#stopPush?.()
    this.#stopPush = undefined
    await registrar.unhandle(IDENTIFY_PROTOCOL)
    await registrar.unhandle(IDENTIFY_PUSH_PROTOCOL)
  }

  identify(connection: Connection): Promise<IdentifyResult> {
    let answer = this.#answers.get(connection)
    if (answer === undefined) {
      answer = this.#ask(connection)
      this.#answers.set(connection, answer)
    }
    return answer
  }

  async push(): Promise<void> {
    const waiting = this.#parts.connectionManager.getConnections()
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await this.#pushTo(next).catch((error: unknown) => {
          this.#log('could not push: %e', error)
        })
      }
    }
    await Promise.all(Array.from({ length: PUSHES_AT_ONCE }, worker))
  }

  readonly #onOpen = (event: CustomEvent<Connection>): void => {
    // Peers without identify are welcome: whatever fails here fails quietly.
    this.identify(event.detail).catch((error: unknown) => {
      this.#log('no answer: %e', error)
    })
  }

  readonly #onSelfUpdate = (): void => {
    if (!this.#started || this.#stopPush !== undefined) return
    this.#stopPush = this.#clock.setTimer(PUSH_DELAY_MS, () => {
      this.#stopPush = undefined
      this.push().catch((error: unknown) => {
        this.#log('could not push: %e', error)
      })
    })
  }

  async #ask(connection: Connection): Promise<IdentifyResult> {
    const pipe = await this.#open(connection, IDENTIFY_PROTOCOL)
    const message = await this.#read(pipe)
    // Not before: some take an end for a hurry to be gone, and answer nobody.
    pipe.end()
    return this.#take(connection, message)
  }

  async #hear(stream: Stream, connection: Connection): Promise<void> {
    const pipe = pipeOf(stream)
    const message = await this.#read(pipe)
    pipe.end()
    await this.#take(connection, message)
  }

  async #tell(stream: Stream, connection: Connection): Promise<void> {
    const pipe = pipeOf(stream)
    this.#send(pipe, await this.#message(connection))
  }

  async #pushTo(connection: Connection): Promise<void> {
    const peer = await this.#parts.peerStore.get(connection.remotePeer)
    if (!peer.protocols.includes(IDENTIFY_PUSH_PROTOCOL)) return
    const pipe = await this.#open(connection, IDENTIFY_PUSH_PROTOCOL)
    this.#send(pipe, await this.#message(connection))
  }

  async #open(connection: Connection, protocol: string): Promise<Pipe> {
    const late = new AbortController()
    const stopTimer = this.#clock.setTimer(this.#init.limits.identifyTimeoutMs, () => {
      late.abort(tooSlow())
    })
    try {
      const options = { signal: late.signal, runOnLimitedConnection: true }
      return pipeOf(await connection.newStream(protocol, options))
    } finally {
      stopTimer()
    }
  }

  /** Writes one message, ends, and waits for the other side to end, but not for ever. */
  #send(pipe: Pipe, message: Uint8Array): void {
    const stopTimer = this.#clock.setTimer(this.#init.limits.identifyTimeoutMs, () => {
      pipe.destroy(tooSlow())
    })
    pipe.listen({
      data: () => {
        // Nothing is to be said here; who says something is not heard.
        pipe.destroy(unexpected())
      },
      drain: () => {},
      end: () => {},
      close: () => {
        stopTimer()
      },
    })
    pipe.write([frameIdentify(message)])
    pipe.end()
    pipe.resume()
  }

  /** Reads to the end, to the limit or until time is up, and takes what was whole by then. */
  #read(pipe: Pipe): Promise<IdentifyMessage> {
    const { maxIdentifyBytes, identifyTimeoutMs } = this.#init.limits
    const held: Uint8Array[] = []
    let heldBytes = 0
    return new Promise((resolve, reject) => {
      let over = false
      const finish = (why: Error, reset: boolean): void => {
        if (over) return
        over = true
        stopTimer()
        if (reset) pipe.destroy(why)
        try {
          const message = unframeIdentify(concat(held))
          if (message === undefined) reject(why)
          else if (message.byteLength > maxIdentifyBytes) reject(tooLong())
          else resolve(decodeIdentify(message))
        } catch (cause) {
          reject(malformed(cause))
        }
      }
      const stopTimer = this.#clock.setTimer(identifyTimeoutMs, () => {
        finish(tooSlow(), true)
      })
      pipe.listen({
        data: (chunk) => {
          if (over) return
          held.push(chunk)
          heldBytes += chunk.byteLength
          // A stream of tiny chunks costs as little as one of large ones.
          if (held.length >= 64) held.splice(0, held.length, concat(held))
          if (heldBytes <= maxIdentifyBytes + FRAMING_BYTES) return
          held.splice(0, held.length, concat(held).subarray(0, maxIdentifyBytes + FRAMING_BYTES))
          finish(tooLong(), true)
        },
        drain: () => {},
        end: () => {
          finish(malformed(), false)
        },
        close: (error) => {
          finish(error ?? gone(), false)
        },
      })
      if (pipe.closed) finish(gone(), false)
      else pipe.resume()
    })
  }

  async #message(connection: Connection): Promise<Uint8Array> {
    const { identity, limits, agentVersion } = this.#init
    const addresses = this.#parts.addressManager
      .getAddresses()
      .slice(0, limits.maxAddressesPerPeer)
      .map((address) => address.decapsulateCode(CODE_P2P).bytes)
      .filter((bytes) => bytes.byteLength > 0)
    const observedAddress = observable(connection.remoteAddr)
    return encodeIdentify(
      {
        publicKey: identity.publicKey,
        listenAddresses: addresses,
        protocols: this.#parts.registrar.getProtocols(),
        protocolVersion: PROTOCOL_VERSION,
        agentVersion,
        ...(observedAddress === undefined ? {} : { observedAddress }),
        ...(addresses.length === 0 ? {} : { signedPeerRecord: await this.#sealed(addresses) }),
      },
      limits.maxIdentifyBytes,
    )
  }

  /** Signed once per list of addresses, however often it is asked for. */
  #sealed(addresses: Uint8Array[]): Promise<Uint8Array> {
    const joined = concat(addresses)
    if (this.#record === undefined || !equalBytes(this.#record.addresses, joined)) {
      const now = BigInt(Math.floor(this.#clock.nowMs()))
      this.#lastSeq = now > this.#lastSeq ? now : this.#lastSeq + 1n
      const sealed = sealPeerRecord(this.#init.identity, { seq: this.#lastSeq, addresses })
      this.#record = { addresses: joined, sealed }
    }
    return this.#record.sealed
  }

  async #take(connection: Connection, message: IdentifyMessage): Promise<IdentifyResult> {
    const { peerStore, events } = this.#parts
    const { remotePeer } = connection
    if (
      message.publicKey !== undefined &&
      peerIdOfKey(message.publicKey) !== peerIdOf(remotePeer)
    ) {
      throw malformed('the key of another peer')
    }
    const listenAddrs = this.#addresses(message.listenAddresses, remotePeer.toString())
    const signed = await this.#signed(connection, message.signedPeerRecord)

    const update: PeerData = {}
    if (message.protocols.length > 0) update.protocols = message.protocols
    if (signed !== undefined) {
      update.peerRecordEnvelope = signed.envelope
      update.addresses = signed.addresses.map((address) => ({
        multiaddr: address,
        isCertified: true,
      }))
    } else if (listenAddrs.length > 0) {
      update.addresses = listenAddrs.map((address) => ({ multiaddr: address, isCertified: false }))
    }
    this.#remember(remotePeer)
    await peerStore.patch(remotePeer, update)
    await peerStore.merge(remotePeer, {
      metadata: {
        ...(message.agentVersion !== undefined && {
          AgentVersion: encodeUtf8(message.agentVersion),
        }),
        ...(message.protocolVersion !== undefined && {
          ProtocolVersion: encodeUtf8(message.protocolVersion),
        }),
      },
    })

    const observedAddr = readAddress(message.observedAddress)
    const result: IdentifyResult = {
      peerId: remotePeer,
      listenAddrs,
      protocols: message.protocols,
      connection,
      ...(message.publicKey !== undefined && { publicKey: message.publicKey }),
      ...(message.agentVersion !== undefined && { agentVersion: message.agentVersion }),
      ...(message.protocolVersion !== undefined && { protocolVersion: message.protocolVersion }),
      ...(observedAddr !== undefined && { observedAddr }),
      ...(signed !== undefined && {
        signedPeerRecord: { seq: signed.seq, addresses: signed.addresses },
      }),
    }
    if (observedAddr !== undefined) this.#init.onObserved?.(observedAddr, connection)
    events.safeDispatchEvent('peer:identify', { detail: result })
    return result
  }

  /** The store keeps whoever ever came: strangers with ever new ids would fill it. */
  #remember(peer: PeerId): void {
    const { peerStore, connectionManager } = this.#parts
    const key = peer.toString()
    this.#known.delete(key)
    this.#known.set(key, peer)
    for (const [oldest, id] of this.#known) {
      if (this.#known.size <= this.#init.limits.maxIdentifiedPeers) return
      if (connectionManager.getConnections(id).length > 0) continue
      this.#known.delete(oldest)
      peerStore.delete(id).catch((error: unknown) => {
        this.#log('could not forget a peer: %e', error)
      })
    }
  }

  /** The peer record, when it is the peer's own, right, and no older than the one that is known. */
  async #signed(
    connection: Connection,
    envelope: Uint8Array | undefined,
  ): Promise<(SignedPeerRecord & { envelope: Uint8Array }) | undefined> {
    if (envelope === undefined) return undefined
    try {
      const record = await openPeerRecord(envelope)
      if (record.peer !== peerIdOf(connection.remotePeer)) return undefined
      const known = await this.#knownSeq(connection)
      if (known !== undefined && known > record.seq) return undefined
      const addresses = this.#addresses(record.addresses, record.peer)
      return { envelope, seq: record.seq, addresses }
    } catch (error) {
      // As without a record: the addresses beside it are taken for what they are, unsigned.
      this.#log('ignored a peer record: %e', error)
      return undefined
    }
  }

  async #knownSeq({ remotePeer }: Connection): Promise<bigint | undefined> {
    if (!(await this.#parts.peerStore.has(remotePeer))) return undefined
    const { peerRecordEnvelope } = await this.#parts.peerStore.get(remotePeer)
    return peerRecordEnvelope === undefined ? undefined : peekPeerRecord(peerRecordEnvelope).seq
  }

  #addresses(all: readonly Uint8Array[], peer: string): Multiaddr[] {
    const addresses: Multiaddr[] = []
    for (const bytes of all.slice(0, this.#init.limits.maxAddressesPerPeer)) {
      const address = readAddress(bytes)
      const named = address?.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
      const own = named === undefined || named === peer || !endsWithPeer(address)
      if (address !== undefined && own) addresses.push(address)
    }
    return addresses
  }
}

function endsWithPeer(address: Multiaddr | undefined): boolean {
  return address?.getComponents().at(-1)?.code === CODE_P2P
}

/** What nobody could read as an address later is none: whoever hears of it must not have to look again. */
function readAddress(bytes: Uint8Array | undefined): Multiaddr | undefined {
  if (bytes === undefined || bytes.byteLength === 0) return undefined
  try {
    const address = multiaddr(bytes)
    return addressOf(address) === '/' ? undefined : address
  } catch {
    return undefined
  }
}

/** What a peer may know of its own address: where it is, when it is on an IP network and not behind a relay. */
function observable(address: Multiaddr): Uint8Array | undefined {
  const names = address.getComponents().map(({ name }) => name)
  if (!/^(ip4|ip6|ip6zone|dns)/.test(names[0] ?? '') || names.includes('p2p-circuit'))
    return undefined
  return address.decapsulateCode(CODE_P2P).bytes
}

function tooSlow(): P2pError {
  return new P2pError('deadline_exceeded', 'Cannot identify the peer: it took too long', {
    layer: 'protocol',
  })
}

function tooLong(): P2pError {
  return new P2pError('resource_exhausted', 'Cannot identify the peer: its message is too long', {
    layer: 'limit',
  })
}

function unexpected(): P2pError {
  return new P2pError('invalid_argument', 'Cannot tell who we are: the other side talks', {
    layer: 'protocol',
  })
}

function gone(): P2pError {
  return new P2pError('unavailable', 'Cannot identify the peer: the stream ended', {
    layer: 'protocol',
  })
}

function malformed(cause?: unknown): P2pError {
  return new P2pError('invalid_argument', 'Cannot identify the peer: its message is malformed', {
    layer: 'protocol',
    cause,
  })
}
