/**
 * AutoNAT v2, the side that asks (libp2p/specs autonat/autonat-v2.md): one check of one address by one peer. That an
 * address can be reached is believed for the number that came back by it, never for the peer's word.
 */
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import { MessageReader } from '../find/message-reader.ts'
import { toMultiaddr } from '../identity.ts'
import type { Address } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import {
  CHECK_STATUS,
  decodeCheck,
  decodeDialBack,
  DIAL_REQUEST_PROTOCOL,
  DIAL_STATUS,
  encodeCheck,
  encodeDialBackAnswer,
  MAX_DIAL_BACK_BYTES,
  PADDING_BYTES,
} from './autonat-message.ts'
import { ipOf } from './observed.ts'
import { readMessage } from './relay-exchange.ts'
import { frameRelayMessage } from './relay-message.ts'

/** What a check found: `refused` where the peer does not dial that address, `unknown` where nothing can be said. */
export type CheckResult = 'reachable' | 'unreachable' | 'refused' | 'unknown'

/** Which connection a proof came on. */
export interface ProofConnection {
  readonly direction: 'inbound' | 'outbound'
  readonly relayed: boolean
  readonly transport: string
  readonly remoteAddress: Address
  readonly openedAtMs: number
}

/** What checks need. */
export interface ChecksInit {
  readonly limits: Pick<P2pLimits, 'checkTimeoutMs' | 'maxCheckMessageBytes' | 'maxPaddingBytes'>
  readonly clock: Clock
  /** So many bytes nobody can foresee. */
  random(length: number): Uint8Array
}

interface Pending {
  readonly address: Address
  readonly sinceMs: number
  readonly proven: (yes: true) => void
}

/** The checks that one node asks for. */
export class Checks {
  readonly #init: ChecksInit
  readonly #pending = new Map<bigint, Pending>()

  constructor(init: ChecksInit) {
    this.#init = init
  }

  /** How many proofs are waited for. */
  get size(): number {
    return this.#pending.size
  }

  /**
   * Has one address checked.
   *
   * @param address - without a peer id
   * @param open - opens a stream to the peer that is to dial it
   * @throws `P2pError` as the stream fails, or for an answer that is none; the signal's reason
   */
  async check(
    address: Address,
    open: (protocol: string) => Pipe,
    signal: AbortSignal,
  ): Promise<CheckResult> {
    const { limits, clock } = this.#init
    signal.throwIfAborted()
    const nonce = new DataView(this.#init.random(8).slice().buffer).getBigUint64(0)
    const proof = Promise.withResolvers<boolean>()
    const proven = proof.resolve
    this.#pending.set(nonce, { address, sinceMs: clock.nowMs(), proven })
    const pipe = open(DIAL_REQUEST_PROTOCOL)
    const ended = (error: Error): void => {
      pipe.destroy(error)
      proof.resolve(false)
    }
    const late = clock.setTimer(limits.checkTimeoutMs, () => {
      ended(checkError('deadline_exceeded', 'it took too long'))
    })
    const aborted = (): void => {
      ended(signal.reason as Error)
    }
    signal.addEventListener('abort', aborted, { once: true })
    try {
      const result = await this.#ask(pipe, address, nonce)
      if (result !== 'reachable') return result
      return (await proof.promise) ? 'reachable' : 'unknown'
    } finally {
      late()
      signal.removeEventListener('abort', aborted)
      this.#pending.delete(nonce)
      proof.resolve(false)
    }
  }

  /** Takes a stream on which somebody proves that an address was dialled. False: nobody waits for such a proof. */
  take(pipe: Pipe, connection: ProofConnection): boolean {
    if (this.#pending.size === 0 || connection.relayed || connection.direction !== 'inbound') {
      return false
    }
    this.#hear(pipe, connection).catch((error: unknown) => {
      pipe.destroy(error instanceof Error ? error : undefined)
    })
    return true
  }

  async #hear(pipe: Pipe, connection: ProofConnection): Promise<void> {
    const { clock, limits } = this.#init
    const { checkTimeoutMs: timeoutMs } = limits
    const bytes = await readMessage(pipe, { maxBytes: MAX_DIAL_BACK_BYTES, timeoutMs, clock })
    const nonce = decodeDialBack(bytes)
    const pending = this.#pending.get(nonce)
    if (pending === undefined || !isBy(connection, pending)) {
      throw checkError('invalid_argument', 'a proof that nobody waits for')
    }
    pending.proven(true)
    pipe.write([frameRelayMessage(encodeDialBackAnswer())])
    pipe.end()
  }

  async #ask(pipe: Pipe, address: Address, nonce: bigint): Promise<CheckResult> {
    const { limits, clock } = this.#init
    const reader = new MessageReader(pipe, {
      maxBytes: limits.maxCheckMessageBytes,
      timeoutMs: limits.checkTimeoutMs,
      clock,
    })
    const addresses = [toMultiaddr(address).bytes]
    pipe.write([frameRelayMessage(encodeCheck({ type: 'request', addresses, nonce }))])
    let padded = false
    for (;;) {
      const bytes = await reader.read()
      // Some end without a word where they do not dial such an address.
      if (bytes === undefined) return 'refused'
      const message = decodeCheck(bytes)
      if (message.type === 'response') {
        pipe.end()
        return resultOf(message.status, message.index, message.dial)
      }
      if (message.type !== 'dataRequest' || padded || message.index !== 0) {
        throw reset(pipe, checkError('invalid_argument', 'the other side sent something else'))
      }
      padded = true
      if (message.byteLength > limits.maxPaddingBytes) {
        throw reset(pipe, checkError('resource_exhausted', 'the other side wants too much padding'))
      }
      pad(pipe, message.byteLength)
    }
  }
}

/** All at once: it is bounded, and below what the pipe may hold. */
function pad(pipe: Pipe, byteLength: number): void {
  const message = frameRelayMessage(encodeCheck({ type: 'data', byteLength: PADDING_BYTES }))
  const count = Math.ceil(byteLength / PADDING_BYTES)
  pipe.write(Array.from({ length: count }, () => message))
}

function resultOf(status: number, index: number, dial: number): CheckResult {
  if (status === CHECK_STATUS.dialRefused) return 'refused'
  if (status !== CHECK_STATUS.ok || index !== 0) return 'unknown'
  if (dial === DIAL_STATUS.ok) return 'reachable'
  return dial === DIAL_STATUS.dialError ? 'unreachable' : 'unknown'
}

/** Whether the connection can have been made by dialling that address for this check. */
function isBy(connection: ProofConnection, { address, sinceMs }: Pending): boolean {
  // One that stood before says nothing: whoever is connected already could prove anything by it.
  if (connection.openedAtMs < sinceMs) return false
  const webSocket = /\/wss?$/.test(address)
  if (webSocket !== /^wss?$/.test(connection.transport)) return false
  return ipOf(connection.remoteAddress)?.version === ipOf(address)?.version
}

function reset(pipe: Pipe, error: P2pError): P2pError {
  pipe.destroy(error)
  return error
}

function checkError(
  code: 'invalid_argument' | 'resource_exhausted' | 'deadline_exceeded',
  state: string,
): P2pError {
  return new P2pError(code, `Cannot check the address: ${state}`, {
    layer: code === 'resource_exhausted' ? 'limit' : 'protocol',
  })
}
