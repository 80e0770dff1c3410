/**
 * From a raw connection to one that is admitted, secured and muxed, as libp2p's `Upgrader`. The one place of
 * admission, of the byte guard before encryption and of time limits; what runs on a connection is not its business.
 */
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { CODE_P2P } from '@multiformats/multiaddr'
import type {
  ClearableSignal,
  Connection,
  ConnectionEncrypter,
  Libp2pEvents,
  MultiaddrConnection,
  PeerId as Libp2pPeerId,
  StreamMuxerFactory,
  TypedEventTarget,
  Upgrader,
  UpgraderOptions,
  UpgraderWithoutEncryptionOptions,
} from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

import { systemClock } from '../clock.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { addressOf, parsePeerId, toLibp2pPeerId } from '../identity.ts'
import { decodePublicKey } from '../keys.ts'
import type { Clock } from '../clock.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import { isRefusal, refusalError } from './admission.ts'
import { pipeOf } from './message-stream.ts'
import { Muxer, YAMUX_PROTOCOL } from './muxer.ts'
import { handleProtocol, selectLazily, selectProtocol } from './negotiate.ts'
import { TLS_PROTOCOL } from './tls.ts'
import type { Admission, Refusal, Ticket } from './admission.ts'
import type { ByteBudget } from './muxer.ts'
import type { LocalEnd, Pipe } from './pipe.ts'
import type { Secured, SecureOptions, Security } from './security.ts'

/** What is known of a connection beside libp2p's own object. */
export interface ConnectionInfo {
  readonly peer: PeerId
  readonly direction: 'inbound' | 'outbound'
  readonly remoteAddress: Address
  /** `tcp`, `ws`, `wss`, `memory`, `relay`, or the last name in the address of a custom transport. */
  readonly transport: string
  /** The true name, such as `noise` or `tls`. */
  readonly security: string
  /** As `/yamux/1.0.0`. */
  readonly muxer: string
  /** Whether a relay carries it. */
  readonly relayed: boolean
  /** When it was secured, since the epoch. */
  readonly openedAtMs: number
}

/** A connection that did not come up, for those who watch. */
export interface RefusedConnection {
  readonly direction: 'inbound' | 'outbound'
  readonly address: Address
  readonly peer?: PeerId
  /** Admission's reason, or `'handshake'` when the other side did not get through it. */
  readonly reason: Refusal | 'handshake'
  readonly error: Error
}

/** The parts of libp2p that an upgrader needs. `upgrader` is the stock one, which makes the connection in the end. */
export interface UpgraderComponents {
  upgrader: Upgrader
  events: TypedEventTarget<Libp2pEvents>
}

/** What an upgrader is made of. */
export interface UpgraderInit {
  /** In order of preference: the first is the one that is sent ahead. */
  securities: readonly Security[]
  limits: P2pLimits
  admission: Admission
  /** Protocols that inbound streams may speak. */
  offers: (protocol: string, info: ConnectionInfo) => boolean
  /** Takes a negotiated inbound stream as a pipe; false leaves it to libp2p. */
  onPipe?: (protocol: string, pipe: Pipe, info: ConnectionInfo) => boolean
  /** Bytes that all connections of a peer share. */
  budgetOf?: (peer: PeerId) => ByteBudget
  /** Told of connections that admission or a handshake refused. */
  onRefused?: (refused: RefusedConnection) => void
  /** Default: the machine's. */
  clock?: Clock
}

/** libp2p's upgrader, and what else a node asks of it. */
export interface P2pUpgrader extends Upgrader {
  /**
   * One dial of one address. When the other side refuses what is sent ahead of its answer, it is dialed once more,
   * step by step; `dialTimeoutMs` holds for both together.
   *
   * @param attempt - dials raw, and upgrades with what it is handed
   */
  dial(attempt: DialAttempt, signal: AbortSignal): Promise<Connection>
  /** What is known of a connection; undefined for one that this upgrader did not secure. */
  infoOf(connection: Pick<Connection, 'timeline'>): ConnectionInfo | undefined
  /** Our end of its socket, where it has one. */
  localOf(connection: Pick<Connection, 'timeline'>): LocalEnd | undefined
  /** Its muxer, for streams that are pipes. */
  muxerOf(connection: Pick<Connection, 'timeline'>): Muxer | undefined
  /** Bans an address or prefix and closes its connections. @throws as `Admission.ban` */
  ban(address: string): void
  /** Blocks a peer and closes its connections. @throws as `Admission.block` */
  block(peer: PeerId): void
}

/** Dials raw and calls `upgrader.upgradeOutbound`. */
export type DialAttempt = (upgrader: Upgrader, signal: AbortSignal) => Promise<Connection>

/**
 * Ours: how long TLS on TCP waits for the answer to its proposal. TLS that has it runs on the socket itself instead of on
 * a pipe, which is quicker for every message after that.
 */
const NEAR_MS = 5

/** The `reason` of an outbound upgrade that may succeed on a new connection, step by step. */
const REFUSED_AHEAD = 'refused_ahead'

/**
 * Makes the upgrader of one node. Before anything else listens to the node's events, so that `connection.encryption`
 * is true when others look.
 *
 * @throws `RangeError` without a security channel
 */
export function createUpgrader(components: UpgraderComponents, init: UpgraderInit): P2pUpgrader {
  return new PipeUpgrader(components, init)
}

type Options = UpgraderOptions | UpgraderWithoutEncryptionOptions

class PipeUpgrader implements P2pUpgrader {
  readonly [Symbol.toStringTag] = '@stronghold/upgrader'
  readonly #stock: Upgrader
  readonly #init: UpgraderInit
  readonly #clock: Clock
  readonly #preferred: Security
  // libp2p hands the timeline of the raw connection on as that of the upgraded one: the same object.
  readonly #known = new WeakMap<object, Known>()
  readonly #closers = new Map<Ticket, (error: Error) => void>()

  constructor({ upgrader, events }: UpgraderComponents, init: UpgraderInit) {
    const [preferred] = init.securities
    if (preferred === undefined) {
      throw new RangeError('Cannot make an upgrader: no security channel')
    }
    this.#stock = upgrader
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#preferred = preferred
    events.addEventListener('connection:open', ({ detail }) => {
      const known = this.#known.get(detail.timeline)
      if (known !== undefined) detail.encryption = known.encryption
    })
  }

  async dial(attempt: DialAttempt, signal: AbortSignal): Promise<Connection> {
    const { dialTimeoutMs } = this.#init.limits
    const time = this.#limit(dialTimeoutMs, 'Cannot dial: it took too long', signal)
    try {
      try {
        return await attempt(this.#dialer(true), time.signal)
      } catch (error) {
        if (!isP2pError(error) || error.reason !== REFUSED_AHEAD) throw error
        time.signal.throwIfAborted()
        return await attempt(this.#dialer(false), time.signal)
      }
    } finally {
      time.clear()
    }
  }

  infoOf(connection: Pick<Connection, 'timeline'>): ConnectionInfo | undefined {
    return this.#known.get(connection.timeline)?.info
  }

  localOf(connection: Pick<Connection, 'timeline'>): LocalEnd | undefined {
    return this.#known.get(connection.timeline)?.local
  }

  muxerOf(connection: Pick<Connection, 'timeline'>): Muxer | undefined {
    return this.#known.get(connection.timeline)?.muxer
  }

  ban(address: string): void {
    this.#close(this.#init.admission.ban(address), 'banned')
  }

  block(peer: PeerId): void {
    this.#close(this.#init.admission.block(peer), 'blocked')
  }

  upgradeOutbound(connection: MultiaddrConnection, options: Options): Promise<Connection> {
    return this.#upgradeOutbound(connection, options, true)
  }

  async upgradeInbound(connection: MultiaddrConnection, options: Options): Promise<void> {
    if (isSecured(options)) return this.#stock.upgradeInbound(connection, options)
    const raw: Raw = {
      connection,
      options,
      direction: 'inbound',
      initiator: false,
      ahead: false,
      // Only a relay says who is coming, and it is not believed: the handshake has to show the same peer.
      expected: expectedPeer(connection.remoteAddr),
    }
    // Before a byte is read.
    const admitted = this.#init.admission.inbound(hostOf(connection.remoteAddr))
    if ('refused' in admitted) throw this.#refuse(raw, admitted.refused)
    await this.#upgrade(raw, admitted.ticket, (secured) =>
      this.#stock.upgradeInbound(connection, secured),
    )
  }

  createInboundAbortSignal(signal: AbortSignal): ClearableSignal {
    return this.#stock.createInboundAbortSignal(signal)
  }

  getStreamMuxers(): Map<string, StreamMuxerFactory> {
    return this.#stock.getStreamMuxers()
  }

  getConnectionEncrypters(): Map<string, ConnectionEncrypter> {
    return this.#stock.getConnectionEncrypters()
  }

  /** What one attempt of a dial is handed. */
  #dialer(ahead: boolean): Upgrader {
    return {
      upgradeOutbound: (connection: MultiaddrConnection, options: Options) =>
        this.#upgradeOutbound(connection, options, ahead),
      upgradeInbound: (connection: MultiaddrConnection, options: Options) =>
        this.upgradeInbound(connection, options),
      createInboundAbortSignal: (signal) => this.createInboundAbortSignal(signal),
      getStreamMuxers: () => this.getStreamMuxers(),
      getConnectionEncrypters: () => this.getConnectionEncrypters(),
    }
  }

  async #upgradeOutbound(
    connection: MultiaddrConnection,
    options: Options,
    ahead: boolean,
  ): Promise<Connection> {
    // A transport with encryption and streams of its own needs nothing of what is done here.
    if (isSecured(options)) return this.#stock.upgradeOutbound(connection, options)
    const expected = expectedPeer(connection.remoteAddr)
    const raw: Raw = {
      connection,
      options,
      direction: 'outbound',
      initiator: options.initiator !== false,
      ahead,
      expected,
    }
    const admitted = this.#init.admission.outbound(hostOf(connection.remoteAddr), expected)
    if ('refused' in admitted) throw this.#refuse(raw, admitted.refused)
    return this.#upgrade(raw, admitted.ticket, (secured) =>
      this.#stock.upgradeOutbound(connection, secured),
    )
  }

  /** Secures, muxes and lets the stock upgrader finish; whatever fails resets the connection and frees its place. */
  async #upgrade<T>(
    raw: Raw,
    ticket: Ticket,
    finish: (options: UpgraderWithoutEncryptionOptions) => Promise<T>,
  ): Promise<T> {
    const { connection, options } = raw
    const { handshakeTimeoutMs } = this.#init.limits
    const time = this.#limit(handshakeTimeoutMs, 'Cannot connect: it took too long', options.signal)
    this.#closers.set(ticket, (error) => {
      time.abort(error)
      connection.abort(error)
    })
    const leave = (): void => {
      this.#closers.delete(ticket)
      ticket.release()
    }
    connection.addEventListener('close', leave)
    try {
      const below = pipeOf(connection)
      const { local } = below
      const { protocol, secured } = await this.#secure(raw, below, time.signal)
      const { remote } = secured
      const refused = ticket.establish(remote.peer)
      if (refused !== undefined) {
        const about = { peer: remote.peer, address: addressOf(connection.remoteAddr) }
        throw refusalError(refused, about)
      }
      const pipe = await this.#mux(raw, secured, time.signal)
      const info = this.#describe(raw, remote.peer, protocol)
      this.#known.set(connection.timeline, { info, encryption: protocol, local, muxer: undefined })
      return await finish({
        ...options,
        signal: time.signal,
        skipEncryption: true,
        skipProtection: true,
        remotePeer: libp2pPeerOf(remote),
        muxerFactory: this.#muxerFactory(raw, pipe, info),
      })
    } catch (error) {
      // What ended the handshake is the reason, not how the handshake took it.
      const why = asError(time.signal.aborted ? time.signal.reason : error)
      connection.abort(why)
      leave()
      this.#tell(raw, why, ticket.peer)
      throw why
    } finally {
      time.clear()
    }
  }

  async #secure(raw: Raw, pipe: Pipe, signal: AbortSignal): Promise<Chosen> {
    const { securities, limits } = this.#init
    if (raw.initiator && raw.ahead) return this.#secureAhead(raw, pipe, signal)
    let spent = 0
    const negotiate = {
      limits,
      signal,
      onBytes: (bytes: number): void => {
        spent = bytes
      },
    }
    const protocols = securities.map(({ protocol }) => protocol)
    const protocol = raw.initiator
      ? await selectProtocol(pipe, protocols, negotiate)
      : await handleProtocol(pipe, { ...negotiate, offers: (one) => protocols.includes(one) })
    const security = securities.find((one) => one.protocol === protocol) ?? this.#preferred
    const options = this.#secureOptions(raw, signal, spent)
    const secured = raw.initiator
      ? await security.secureOutbound(pipe, options)
      : await security.secureInbound(pipe, options)
    return { protocol, secured }
  }

  /** The first handshake message leaves together with the proposal, and nobody waits for the answer to that. */
  async #secureAhead(raw: Raw, pipe: Pipe, signal: AbortSignal): Promise<Chosen> {
    const security = this.#preferred
    const { protocol } = security
    const answered = Promise.withResolvers<undefined>()
    let agreed = false
    const ahead = selectLazily(pipe, protocol, {
      limits: this.#init.limits,
      onSettled: (error) => {
        agreed = error === undefined
        answered.resolve(undefined)
      },
    })
    const onSocket =
      protocol === TLS_PROTOCOL && transportOf(namesOf(raw.connection.remoteAddr)) === 'tcp'
    try {
      if (onSocket) await this.#waitNear(ahead, answered.promise)
      const options = this.#secureOptions(raw, signal, 0)
      const secured = await security.secureOutbound(onSocket && agreed ? pipe : ahead, options)
      return { protocol, secured }
    } catch (cause) {
      if (agreed || signal.aborted) throw cause
      throw new P2pError(
        'unavailable',
        'Cannot secure the connection: the other side refused what was sent ahead',
        { layer: 'security', reason: REFUSED_AHEAD, cause },
      )
    }
  }

  /** Sends the proposal and waits for its answer, as long as a peer nearby takes. */
  async #waitNear(ahead: Pipe, answered: Promise<undefined>): Promise<void> {
    const late = Promise.withResolvers<undefined>()
    // An answer that is there already is read between two timers, however late the first of them is.
    let stop = this.#clock.setTimer(NEAR_MS - 1, () => {
      stop = this.#clock.setTimer(1, () => {
        late.resolve(undefined)
      })
    })
    ahead.resume()
    await Promise.race([answered, late.promise])
    stop()
    ahead.pause()
  }

  #secureOptions(raw: Raw, signal: AbortSignal, spent: number): SecureOptions {
    return {
      signal,
      muxers: [YAMUX_PROTOCOL],
      maxHandshakeBytes: Math.max(1, this.#init.limits.maxHandshakeBytes - spent),
      ...(raw.expected !== undefined && { expected: raw.expected }),
    }
  }

  async #mux(raw: Raw, { pipe, muxer }: Secured, signal: AbortSignal): Promise<Pipe> {
    const { limits } = this.#init
    if (muxer === YAMUX_PROTOCOL) return pipe
    if (!raw.initiator) {
      await handleProtocol(pipe, { limits, signal, offers: (one) => one === YAMUX_PROTOCOL })
      return pipe
    }
    if (raw.ahead) return selectLazily(pipe, YAMUX_PROTOCOL, { limits })
    await selectProtocol(pipe, [YAMUX_PROTOCOL], { limits, signal })
    return pipe
  }

  #muxerFactory(raw: Raw, pipe: Pipe, info: ConnectionInfo): StreamMuxerFactory {
    const { limits, offers, onPipe, budgetOf } = this.#init
    return {
      protocol: YAMUX_PROTOCOL,
      createStreamMuxer: () => {
        const muxer = new Muxer(pipe, {
          initiator: raw.initiator,
          limits,
          clock: this.#clock,
          log: raw.connection.log,
          offers: (protocol) => offers(protocol, info),
          onPipe: (protocol, stream) => onPipe?.(protocol, stream, info) ?? false,
          budget: budgetOf?.(info.peer),
        })
        const known = this.#known.get(raw.connection.timeline)
        if (known !== undefined) known.muxer = muxer
        return muxer
      },
    }
  }

  #describe(raw: Raw, peer: PeerId, protocol: string): ConnectionInfo {
    const { remoteAddr } = raw.connection
    const names = namesOf(remoteAddr)
    return Object.freeze({
      peer,
      direction: raw.direction,
      remoteAddress: addressOf(remoteAddr),
      transport: transportOf(names),
      security: protocol.split('/')[1] ?? protocol,
      muxer: YAMUX_PROTOCOL,
      relayed: names.includes('p2p-circuit'),
      openedAtMs: this.#clock.nowMs(),
    })
  }

  #refuse(raw: Raw, refused: Refusal): P2pError {
    const address = addressOf(raw.connection.remoteAddr)
    const error = refusalError(refused, { peer: raw.expected, address })
    raw.connection.abort(error)
    this.#tell(raw, error, raw.expected)
    return error
  }

  #tell(raw: Raw, error: Error, peer: PeerId | undefined): void {
    const reason = isP2pError(error) ? error.reason : undefined
    this.#init.onRefused?.({
      direction: raw.direction,
      address: addressOf(raw.connection.remoteAddr),
      reason: isRefusal(reason) ? reason : 'handshake',
      error,
      ...(peer !== undefined && { peer }),
    })
  }

  #close(tickets: readonly Ticket[], refused: Refusal): void {
    for (const ticket of tickets) {
      this.#closers.get(ticket)?.(refusalError(refused, { peer: ticket.peer }))
    }
  }

  #limit(timeoutMs: number, message: string, outer: AbortSignal | undefined): TimeLimit {
    const stop = new AbortController()
    const onAbort = (): void => {
      stop.abort(outer?.reason)
    }
    if (outer?.aborted === true) onAbort()
    outer?.addEventListener('abort', onAbort, { once: true })
    const stopTimer = this.#clock.setTimer(timeoutMs, () => {
      stop.abort(new P2pError('deadline_exceeded', message, { layer: 'dial' }))
    })
    return {
      signal: stop.signal,
      abort: (error) => {
        stop.abort(error)
      },
      clear: () => {
        stopTimer()
        outer?.removeEventListener('abort', onAbort)
      },
    }
  }
}

/** A connection on its way, and how it goes. */
interface Raw {
  connection: MultiaddrConnection
  options: Options
  direction: 'inbound' | 'outbound'
  /** Whether we speak first: the dialer, but for a dial that asks otherwise. */
  initiator: boolean
  /** Whether proposals may go ahead of their answers. */
  ahead: boolean
  expected: PeerId | undefined
}

interface Known {
  readonly info: ConnectionInfo
  readonly encryption: string
  readonly local: LocalEnd | undefined
  muxer: Muxer | undefined
}

interface Chosen {
  protocol: string
  secured: Secured
}

interface TimeLimit {
  signal: AbortSignal
  abort(error: Error): void
  clear(): void
}

function isSecured(options: Options): options is UpgraderWithoutEncryptionOptions {
  return 'skipEncryption' in options && options.skipEncryption
}

/** The last peer id in an address: the one it leads to. */
function expectedPeer(address: Multiaddr): PeerId | undefined {
  const last = address.getComponents().at(-1)
  return last?.code === CODE_P2P && last.value !== undefined ? parsePeerId(last.value) : undefined
}

/** The IP address that an address begins with. */
function hostOf(address: Multiaddr): string | undefined {
  const [first, second] = address.getComponents()
  const ip = first?.name === 'ip6zone' ? second : first
  return ip?.name === 'ip4' || ip?.name === 'ip6' ? ip.value : undefined
}

/** `tcp`, `ws`, `wss`, `memory`, `relay` or another, by the names in an address. */
function namesOf(address: Multiaddr): string[] {
  return address.getComponents().map(({ name }) => name)
}

/** The transport by the names in an address: `tcp`, `ws`, `wss`, `memory`, `relay`, or that of a custom one. */
export function transportOf(names: readonly string[]): string {
  if (names.includes('p2p-circuit')) return 'relay'
  if (names.includes('wss') || (names.includes('ws') && names.includes('tls'))) return 'wss'
  return names.findLast((name) => name !== 'p2p' && name !== 'certhash') ?? 'unknown'
}

/** libp2p's object, with the key where the id does not hold it and libp2p can use it. */
function libp2pPeerOf({ peer, publicKey }: Secured['remote']): Libp2pPeerId {
  return decodePublicKey(publicKey).type === 'rsa'
    ? peerIdFromPublicKey(publicKeyFromProtobuf(publicKey))
    : toLibp2pPeerId(peer)
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
