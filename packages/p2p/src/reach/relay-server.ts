/**
 * A relay (circuit relay v2, hop): grants reservations and joins circuits, within its accounts. It opens streams through
 * what it is handed, sees ciphertext only, and knows nothing of listeners or connections.
 */
import type { Clock } from '../clock.ts'
import { ipGroup, parseIp } from '../connection/ip.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { Identity } from '../open-identity.ts'
import type { CircuitAccount, RelayAccounts } from './relay-accounts.ts'
import { joinPipes } from './relay-circuit.ts'
import type { Circuit } from './relay-circuit.ts'
import { readMessage } from './relay-exchange.ts'
import {
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  frameRelayMessage,
  sealVoucher,
  STATUS,
  STOP_PROTOCOL,
} from './relay-message.ts'
import type { HopMessage, StatusName, StopMessage } from './relay-message.ts'

/** Who speaks on a hop stream. */
export interface HopPeer {
  readonly peer: PeerId
  /** The IP address it comes from, where it has one. */
  readonly host: string | undefined
  /** Whether itself comes through a relay: it is served nothing then. */
  readonly relayed: boolean
}

/** What a relay is made of. */
export interface RelayServerInit {
  readonly identity: Pick<Identity, 'peer' | 'publicKey' | 'sign'>
  readonly limits: Pick<
    P2pLimits,
    | 'relayTimeoutMs'
    | 'maxRelayMessageBytes'
    | 'maxRelayCircuits'
    | 'maxRelayCircuitsPerPeer'
    | 'maxAddressesPerPeer'
  >
  readonly clock: Clock
  readonly accounts: RelayAccounts
  /** Where the relay can be reached, each with its peer id, as multiaddr bytes. */
  addresses(): Uint8Array[]
  /** A stream to a connected peer; undefined where there is no direct connection. @throws where none can be opened */
  open(peer: PeerId, protocol: string): Pipe | undefined
}

// Ours. A voucher is signed at most so often for one peer; who asks again sooner gets the same.
const VOUCHER_EVERY_MS = 1000

interface Standing {
  readonly account: CircuitAccount
  readonly circuit: Circuit
}

/** The relay of one node. */
export class RelayServer {
  readonly #init: RelayServerInit
  readonly #accounts: RelayAccounts
  readonly #exchanges = new Map<PeerId, number>()
  readonly #circuits = new Set<Standing>()
  readonly #answers = new Map<PeerId, { atMs: number; answer: Promise<Uint8Array> }>()
  #exchangesOpen = 0
  #closed = false

  constructor(init: RelayServerInit) {
    this.#init = init
    this.#accounts = init.accounts
  }

  /** Takes a hop stream. Never throws: whatever goes wrong is answered by a status, or a reset. */
  take(pipe: Pipe, from: HopPeer): void {
    const { maxRelayCircuits, maxRelayCircuitsPerPeer } = this.#init.limits
    const open = this.#exchanges.get(from.peer) ?? 0
    // A few more than may stand, so that one too many hears why.
    if (
      this.#closed ||
      open > this.#accounts.circuitsOf(from.peer) ||
      this.#exchangesOpen > maxRelayCircuits + maxRelayCircuitsPerPeer
    ) {
      pipe.destroy(relayError('resource_exhausted', 'Cannot take the stream: too many are open'))
      return
    }
    this.#exchanges.set(from.peer, open + 1)
    this.#exchangesOpen += 1
    this.#exchange(pipe, from)
      .catch((error: unknown) => {
        pipe.destroy(error instanceof Error ? error : new Error(String(error)))
      })
      .finally(() => {
        const left = (this.#exchanges.get(from.peer) ?? 1) - 1
        if (left > 0) this.#exchanges.set(from.peer, left)
        else this.#exchanges.delete(from.peer)
        this.#exchangesOpen -= 1
      })
  }

  /** No direct connection with the peer is left: its reservation is over. */
  gone(peer: PeerId): void {
    this.#accounts.release(peer)
    this.#answers.delete(peer)
  }

  /** Ends the circuits from and to a peer. */
  cut(peer: PeerId): void {
    for (const { account, circuit } of [...this.#circuits]) {
      if (account.from === peer || account.to === peer) {
        circuit.end(relayError('permission_denied', 'Cannot carry the circuit: denied'))
      }
    }
  }

  /** Ends everything. Idempotent. */
  close(): void {
    this.#closed = true
    this.#answers.clear()
    for (const { circuit } of [...this.#circuits]) {
      circuit.end(relayError('unavailable', 'Cannot carry the circuit: the relay stops'))
    }
  }

  async #exchange(pipe: Pipe, from: HopPeer): Promise<void> {
    const message = await this.#readHop(pipe)
    if (message === undefined) this.#refuse(pipe, 'MALFORMED_MESSAGE')
    else if (message.type === 'status') this.#refuse(pipe, 'UNEXPECTED_MESSAGE')
    else if (from.relayed) this.#refuse(pipe, 'PERMISSION_DENIED')
    else if (message.type === 'reserve') await this.#reserve(pipe, from)
    else await this.#connect(pipe, from, message.peer)
  }

  async #readHop(pipe: Pipe): Promise<HopMessage | undefined> {
    try {
      return decodeHop(await this.#read(pipe))
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      if (error instanceof P2pError && error.code === 'invalid_argument') return undefined
      throw error
    }
  }

  #read(pipe: Pipe): Promise<Uint8Array> {
    const { limits, clock } = this.#init
    const { maxRelayMessageBytes: maxBytes, relayTimeoutMs: timeoutMs } = limits
    return readMessage(pipe, { maxBytes, timeoutMs, clock })
  }

  #refuse(pipe: Pipe, status: StatusName): void {
    this.#answer(pipe, encodeHop({ type: 'status', status: STATUS[status] }))
  }

  /** The last word on a hop stream: what still comes on it is dropped, for as long as an exchange may take. */
  #answer(pipe: Pipe, message: Uint8Array): void {
    const stopTimer = this.#init.clock.setTimer(this.#init.limits.relayTimeoutMs, () => {
      pipe.destroy()
    })
    pipe.listen({ data: () => {}, drain: () => {}, end: () => {}, close: stopTimer })
    pipe.write([frameRelayMessage(message)])
    pipe.end()
    pipe.resume()
  }

  async #reserve(pipe: Pipe, { peer, host }: HopPeer): Promise<void> {
    const nowMs = this.#init.clock.nowMs()
    const last = this.#answers.get(peer)
    const recent = last !== undefined && nowMs - last.atMs < VOUCHER_EVERY_MS
    if (recent && this.#accounts.holds(peer, nowMs)) {
      this.#answer(pipe, await last.answer)
      return
    }
    const granted = this.#accounts.reserve(peer, groupOf(host), nowMs)
    if ('refused' in granted) {
      this.#refuse(pipe, granted.refused)
      return
    }
    const reservation = this.#reservation(peer, granted.expiresAtMs)
    this.#answers.delete(peer)
    this.#answers.set(peer, { atMs: nowMs, answer: reservation })
    for (const [other, { atMs }] of this.#answers) {
      if (nowMs - atMs < VOUCHER_EVERY_MS) break
      this.#answers.delete(other)
    }
    this.#answer(pipe, await reservation)
  }

  async #reservation(peer: PeerId, expiresAtMs: number): Promise<Uint8Array> {
    const { identity, limits } = this.#init
    const voucher = await sealVoucher(identity, { relay: identity.peer, peer, expiresAtMs })
    const limit = this.#accounts.limitOf(peer)
    return encodeHop({
      type: 'status',
      status: STATUS.OK,
      reservation: {
        expiresAtMs,
        addresses: this.#init.addresses().slice(0, limits.maxAddressesPerPeer),
        voucher,
      },
      ...(limit === undefined ? {} : { limit }),
    })
  }

  async #connect(pipe: Pipe, from: HopPeer, to: PeerId): Promise<void> {
    const { clock } = this.#init
    const opened = this.#accounts.open(from.peer, groupOf(from.host), to, clock.nowMs())
    if ('refused' in opened) {
      this.#refuse(pipe, opened.refused)
      return
    }
    const account = opened.circuit
    // Who hangs up while the other side is asked needs no circuit.
    const hungUp = hangUp(pipe)
    let target: Pipe
    try {
      target = await this.#stop(account)
    } catch {
      account.release()
      this.#refuse(pipe, 'CONNECTION_FAILED')
      return
    }
    if (hungUp() || this.#closed) {
      account.release()
      target.destroy(relayError('unavailable', 'Cannot carry the circuit: its opener is gone'))
      return
    }
    const { limit } = account
    const ok: HopMessage = {
      type: 'status',
      status: STATUS.OK,
      ...(limit === undefined ? {} : { limit }),
    }
    pipe.write([frameRelayMessage(encodeHop(ok))])
    this.#join(pipe, target, account)
  }

  /** Asks the target to take a circuit. */
  async #stop(account: CircuitAccount): Promise<Pipe> {
    const { from, to, limit } = account
    const target = this.#init.open(to, STOP_PROTOCOL)
    if (target === undefined) throw relayError('unavailable', 'Cannot reach the target')
    const ask: StopMessage = {
      type: 'connect',
      peer: from,
      ...(limit === undefined ? {} : { limit }),
    }
    target.write([frameRelayMessage(encodeStop(ask))])
    const told = decodeStop(await this.#read(target))
    if (told.type === 'status' && told.status === STATUS.OK) return target
    target.destroy()
    throw relayError('unavailable', 'Cannot reach the target: it refused')
  }

  #join(pipe: Pipe, target: Pipe, account: CircuitAccount): void {
    const { clock } = this.#init
    const circuit = joinPipes(pipe, target, {
      carry: (bytes, forth) =>
        account.carry(bytes, forth, clock.nowMs())
          ? undefined
          : relayError('resource_exhausted', 'Cannot carry the circuit: its bytes are used up'),
      onClose: () => {
        stopTimer?.()
        account.release()
        this.#circuits.delete(standing)
      },
    })
    const standing: Standing = { account, circuit }
    this.#circuits.add(standing)
    const durationMs = account.limit?.durationMs
    const stopTimer =
      durationMs === undefined
        ? undefined
        : clock.setTimer(durationMs, () => {
            circuit.end(
              relayError('resource_exhausted', 'Cannot carry the circuit: its time is over'),
            )
          })
  }
}

/** Listens until somebody else does, and says whether the pipe ended meanwhile. */
function hangUp(pipe: Pipe): () => boolean {
  let over = false
  pipe.listen({
    data: () => {},
    drain: () => {},
    end: () => {
      over = true
    },
    close: () => {
      over = true
    },
  })
  return () => over || pipe.closed
}

/** What an address counts as: itself, or its /64. */
function groupOf(host: string | undefined): string | undefined {
  const ip = host === undefined ? undefined : parseIp(host)
  return ip === undefined ? host : ipGroup(ip)
}

function relayError(
  code: 'resource_exhausted' | 'permission_denied' | 'unavailable',
  message: string,
): P2pError {
  return new P2pError(code, message, { layer: 'relay' })
}
