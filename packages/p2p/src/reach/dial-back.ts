/**
 * AutoNAT v2, the side that answers (libp2p/specs autonat/autonat-v2.md): dials a peer back where it says it is, so that
 * it learns whether it can be reached. It dials through what it is handed, and never inside networks that the asker could
 * not reach itself.
 */
import type { Clock } from '../clock.ts'
import { parseIp, ipPrefix } from '../connection/ip.ts'
import type { IpPrefix } from '../connection/ip.ts'
import type { Pipe } from '../connection/pipe.ts'
import { TokenBucket } from '../connection/token-bucket.ts'
import { isP2pError, P2pError } from '../errors.ts'
import { MessageReader } from '../find/message-reader.ts'
import { addressFromBytes } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import {
  CHECK_STATUS,
  decodeCheck,
  decodeDialBackAnswer,
  DIAL_BACK_PROTOCOL,
  DIAL_STATUS,
  encodeCheck,
  encodeDialBack,
  MAX_DIAL_BACK_BYTES,
} from './autonat-message.ts'
import type { CheckMessage } from './autonat-message.ts'
import { ipOf, isListenable } from './observed.ts'
import { readMessage } from './relay-exchange.ts'
import { frameRelayMessage } from './relay-message.ts'
import { scopeOf } from './scope.ts'

/** Who asks to be dialled back. */
export interface CheckAsker {
  readonly peer: PeerId
  /** Where it is, as its connection says. */
  readonly address: Address
  readonly relayed: boolean
}

/** A connection made for nothing but the proof. */
export interface DialledBack {
  open(protocol: string): Pipe
  close(): void
}

/** What dialling back needs. */
export interface DialBacksInit {
  readonly limits: Pick<
    P2pLimits,
    | 'checkTimeoutMs'
    | 'dialTimeoutMs'
    | 'maxCheckMessageBytes'
    | 'paddingBytes'
    | 'maxDialBackAddresses'
    | 'maxDialBacks'
    | 'dialBacksPerMinute'
    | 'dialBacksPerPeerPerMinute'
  >
  readonly clock: Clock
  /** Whether addresses of private networks and of this machine are dialled too. */
  readonly privately: boolean
  /** Whether IP addresses of that version can be dialled from here. */
  speaks(version: 4 | 6): boolean
  /** One dial, from another port than those listened on. @throws where it failed */
  dial(address: Address, signal: AbortSignal): Promise<DialledBack>
}

// Ours. Padding in smaller pieces costs us more than the asker.
const LEAST_PADDING_BYTES = 64
const MAX_ASKERS = 4096
const MINUTE_SECONDS = 60

// RFC 6890, RFC 8215, RFC 4380, RFC 3056: what is no host on the internet, or carries the address of a private one.
const NO_HOSTS = [
  ...['192.0.0.0/24', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
  ...['64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/32', '2002::/16', 'ff00::/8'],
]
  .map(parseIp)
  .filter((prefix) => prefix !== undefined)

/** All that one node dials back. */
export class DialBacks {
  readonly #init: DialBacksInit
  readonly #all: TokenBucket
  readonly #byPeer = new Map<PeerId, TokenBucket>()
  readonly #running = new Set<AbortController>()
  #closed = false

  constructor(init: DialBacksInit) {
    this.#init = init
    this.#all = bucketOf(init.limits.dialBacksPerMinute, init.clock.nowMs())
  }

  /** How many are under way. */
  get size(): number {
    return this.#running.size
  }

  /** Takes a stream on which a check is asked for. Never throws: what goes wrong is answered by a status, or a reset. */
  take(pipe: Pipe, asker: CheckAsker): void {
    const { limits, clock } = this.#init
    if (this.#closed || asker.relayed || !this.#mayAsk(asker.peer)) {
      this.#answer(pipe, { type: 'response', status: CHECK_STATUS.rejected, index: 0, dial: 0 })
      return
    }
    const control = new AbortController()
    this.#running.add(control)
    const late = clock.setTimer(limits.checkTimeoutMs, () => {
      control.abort(checkError('deadline_exceeded', 'it took too long'))
    })
    control.signal.addEventListener('abort', () => {
      pipe.destroy(control.signal.reason as Error)
    })
    this.#check(pipe, asker, control.signal)
      .then((response) => {
        if (!control.signal.aborted) this.#answer(pipe, response)
      })
      .catch((error: unknown) => {
        pipe.destroy(error instanceof Error ? error : undefined)
      })
      .finally(() => {
        late()
        this.#running.delete(control)
      })
  }

  /** Ends all of it. Idempotent. */
  close(): void {
    this.#closed = true
    for (const control of this.#running) control.abort(new Error('the node stops'))
  }

  #mayAsk(peer: PeerId): boolean {
    const { limits, clock } = this.#init
    const nowMs = clock.nowMs()
    if (this.#running.size >= limits.maxDialBacks) return false
    let own = this.#byPeer.get(peer)
    if (own === undefined) {
      if (this.#byPeer.size >= MAX_ASKERS) this.#byPeer.clear()
      own = bucketOf(limits.dialBacksPerPeerPerMinute, nowMs)
      this.#byPeer.set(peer, own)
    }
    return own.take(nowMs) && this.#all.take(nowMs)
  }

  async #check(pipe: Pipe, asker: CheckAsker, signal: AbortSignal): Promise<CheckMessage> {
    const { limits, clock } = this.#init
    const reader = new MessageReader(pipe, {
      maxBytes: limits.maxCheckMessageBytes,
      timeoutMs: limits.checkTimeoutMs,
      clock,
    })
    const request = await readCheck(reader)
    if (request.type !== 'request') throw checkError('invalid_argument', 'no request')
    const chosen = this.#choose(request.addresses, asker)
    if (chosen === undefined) return response(CHECK_STATUS.dialRefused, 0, DIAL_STATUS.unused)
    const { index, address } = chosen
    // Else a few bytes of the asker would make us send many to somebody else.
    if (!isSameHost(address, asker.address)) await this.#takePadding(pipe, reader, index)
    return this.#dialBack(address, index, request.nonce, signal)
  }

  /** The first of its addresses that is dialled at all. */
  #choose(
    addresses: readonly Uint8Array[],
    { peer, address: from }: CheckAsker,
  ): { index: number; address: Address } | undefined {
    const { limits } = this.#init
    const own = ipOf(from)
    for (const [index, bytes] of addresses.slice(0, limits.maxDialBackAddresses).entries()) {
      const address = addressFromBytes(bytes, peer)
      if (address === undefined || !this.#isDialled(address, peer)) continue
      const version = ipOf(address)?.version
      // It came by its own version: that one we speak.
      if (version !== undefined && (version === own?.version || this.#init.speaks(version))) {
        return { index, address }
      }
    }
    return undefined
  }

  #isDialled(address: Address, peer: PeerId): boolean {
    if (!isListenable(address.slice(0, -`/p2p/${peer}`.length) as Address)) return false
    if (this.#init.privately) return true
    const ip = ipOf(address)
    return scopeOf(address) === 'public' && ip !== undefined && !NO_HOSTS.some(holding(ip))
  }

  async #takePadding(pipe: Pipe, reader: MessageReader, index: number): Promise<void> {
    const { paddingBytes: wanted } = this.#init.limits
    write(pipe, { type: 'dataRequest', index, byteLength: wanted })
    for (let taken = 0; taken < wanted;) {
      const message = await readCheck(reader)
      if (message.type !== 'data') throw checkError('invalid_argument', 'no padding')
      taken += message.byteLength
      if (message.byteLength < LEAST_PADDING_BYTES && taken < wanted) {
        throw checkError('invalid_argument', 'padding in too small pieces')
      }
    }
  }

  async #dialBack(
    address: Address,
    index: number,
    nonce: bigint,
    signal: AbortSignal,
  ): Promise<CheckMessage> {
    const { limits, clock } = this.#init
    let dialled: DialledBack
    try {
      dialled = await this.#dial(address, signal)
    } catch (error) {
      signal.throwIfAborted()
      // What we have no room for says nothing about the asker.
      const ours = isP2pError(error, 'resource_exhausted')
      return ours
        ? response(CHECK_STATUS.internalError, 0, DIAL_STATUS.unused)
        : response(CHECK_STATUS.ok, index, DIAL_STATUS.dialError)
    }
    try {
      const proof = dialled.open(DIAL_BACK_PROTOCOL)
      proof.write([frameRelayMessage(encodeDialBack(nonce))])
      const { checkTimeoutMs: timeoutMs } = limits
      const maxBytes = MAX_DIAL_BACK_BYTES
      const answer = await readMessage(proof, { maxBytes, timeoutMs, clock, signal })
      proof.end()
      const heard = decodeDialBackAnswer(answer)
      return response(CHECK_STATUS.ok, index, heard ? DIAL_STATUS.ok : DIAL_STATUS.dialBackError)
    } catch {
      signal.throwIfAborted()
      return response(CHECK_STATUS.ok, index, DIAL_STATUS.dialBackError)
    } finally {
      dialled.close()
    }
  }

  /** Silence has to end before the asker gives up on us. */
  async #dial(address: Address, signal: AbortSignal): Promise<DialledBack> {
    const { limits, clock } = this.#init
    const late = new AbortController()
    const stopTimer = clock.setTimer(limits.dialTimeoutMs, () => {
      late.abort(checkError('deadline_exceeded', 'nobody answered'))
    })
    try {
      return await this.#init.dial(address, AbortSignal.any([signal, late.signal]))
    } finally {
      stopTimer()
    }
  }

  /** The last word: what still comes is dropped, for as long as a check may take. */
  #answer(pipe: Pipe, message: CheckMessage): void {
    const stopTimer = this.#init.clock.setTimer(this.#init.limits.checkTimeoutMs, () => {
      pipe.destroy()
    })
    pipe.listen({ data: () => {}, drain: () => {}, end: () => {}, close: stopTimer })
    write(pipe, message)
    pipe.end()
    pipe.resume()
  }
}

async function readCheck(reader: MessageReader): Promise<CheckMessage> {
  const bytes = await reader.read()
  if (bytes === undefined) throw checkError('unavailable', 'the other side ended')
  return decodeCheck(bytes)
}

function write(pipe: Pipe, message: CheckMessage): void {
  pipe.write([frameRelayMessage(encodeCheck(message))])
}

function response(status: number, index: number, dial: number): CheckMessage {
  return { type: 'response', status, index, dial }
}

function bucketOf(perMinute: number, nowMs: number): TokenBucket {
  return new TokenBucket(perMinute, perMinute / MINUTE_SECONDS, nowMs)
}

function isSameHost(a: Address, b: Address): boolean {
  const [one, other] = [ipOf(a), ipOf(b)]
  return one !== undefined && one.version === other?.version && one.bits === other.bits
}

function holding(ip: IpPrefix): (prefix: IpPrefix) => boolean {
  return (prefix) =>
    prefix.version === ip.version && ipPrefix(ip, prefix.length).bits === prefix.bits
}

function checkError(
  code: 'invalid_argument' | 'unavailable' | 'deadline_exceeded',
  state: string,
): P2pError {
  return new P2pError(code, `Cannot dial back: ${state}`, { layer: 'protocol' })
}
