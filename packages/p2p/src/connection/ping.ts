/**
 * Ping (libp2p/specs ping/ping.md): 32 bytes there and back, as a libp2p service and by itself. It measures and
 * answers; what silence means is for others to say.
 */
import { serviceCapabilities } from '@libp2p/interface'
import type { Connection, Startable, Stream } from '@libp2p/interface'
import type { Registrar } from '@libp2p/interface-internal'
import { concat, equalBytes } from '@stronghold/core'

import { cryptoRuntime } from '#runtime'

import { systemClock } from '../clock.ts'
import { P2pError } from '../errors.ts'
import type { Clock } from '../clock.ts'
import type { P2pLimits } from '../limits.ts'

import { pipeOf } from './message-stream.ts'
import type { Pipe } from './pipe.ts'

/** The protocol id. */
export const PING_PROTOCOL = '/ipfs/ping/1.0.0'

// ping.md: the listener accepts at most two streams per peer. The dialer uses one; another may still be ending.
const PING_BYTES = 32
const INBOUND_PER_PEER = 2
const OUTBOUND_PER_CONNECTION = 2

/** What ping needs to know. */
export interface PingInit {
  limits: Pick<P2pLimits, 'identifyTimeoutMs'>
  /** Default: the machine's. */
  clock?: Clock
  /** Bytes nobody can foresee. Default: the machine's. */
  random?: (length: number) => Uint8Array
}

/** The service. */
export interface PingService extends Startable {
  readonly [serviceCapabilities]: string[]
  /**
   * The time of one round trip, in milliseconds.
   *
   * @throws `P2pError` `unimplemented` by peers without ping, `data_loss` for a wrong answer, `unavailable` without
   *   one, `deadline_exceeded` past `identifyTimeoutMs`; the signal's reason when it aborts
   */
  ping(connection: Connection, signal?: AbortSignal): Promise<number>
}

/** Makes the service: `services: { ping: ping(init) }`. */
export function ping(init: PingInit): (components: { registrar: Registrar }) => PingService {
  return ({ registrar }) => new Pinging(init, registrar)
}

/** Sends back what comes, no faster than it is taken, and holds none of it. */
export function answerPings(pipe: Pipe, onClose: () => void = () => {}): void {
  pipe.listen({
    data: (chunk) => {
      if (!pipe.write([chunk])) pipe.pause()
    },
    drain: () => {
      pipe.resume()
    },
    end: () => {
      pipe.end()
    },
    close: onClose,
  })
  if (pipe.closed) onClose()
  else pipe.resume()
}

class Pinging implements PingService {
  readonly [serviceCapabilities]: string[] = ['@libp2p/ping']
  readonly #registrar: Registrar
  readonly #limits: PingInit['limits']
  readonly #clock: Clock
  readonly #random: (length: number) => Uint8Array
  readonly #inbound = new Map<string, number>()

  constructor(init: PingInit, registrar: Registrar) {
    this.#registrar = registrar
    this.#limits = init.limits
    this.#clock = init.clock ?? systemClock
    this.#random = init.random ?? ((length): Uint8Array => cryptoRuntime.random(length))
  }

  async start(): Promise<void> {
    await this.#registrar.handle(
      PING_PROTOCOL,
      (stream, connection) => {
        this.#answer(stream, connection)
      },
      {
        maxInboundStreams: INBOUND_PER_PEER,
        maxOutboundStreams: OUTBOUND_PER_CONNECTION,
        runOnLimitedConnection: true,
      },
    )
  }

  async stop(): Promise<void> {
    await this.#registrar.unhandle(PING_PROTOCOL)
  }

  async ping(connection: Connection, signal?: AbortSignal): Promise<number> {
    const stop = new AbortController()
    const onAbort = (): void => {
      stop.abort(signal?.reason)
    }
    signal?.throwIfAborted()
    signal?.addEventListener('abort', onAbort, { once: true })
    const stopTimer = this.#clock.setTimer(this.#limits.identifyTimeoutMs, () => {
      stop.abort(pingError('deadline_exceeded', 'no answer in time'))
    })
    try {
      const options = { signal: stop.signal, runOnLimitedConnection: true }
      const pipe = pipeOf(await connection.newStream(PING_PROTOCOL, options))
      return await this.#roundTrip(pipe, stop.signal)
    } finally {
      stopTimer()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #roundTrip(pipe: Pipe, signal: AbortSignal): Promise<number> {
    const sent = this.#random(PING_BYTES)
    const startedMs = this.#clock.nowMs()
    let received: Uint8Array = new Uint8Array(0)
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        pipe.destroy(error)
        reject(error)
      }
      const onAbort = (): void => {
        fail(signal.reason as Error)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      pipe.listen({
        data: (chunk) => {
          if (received.byteLength + chunk.byteLength > PING_BYTES) {
            return fail(pingError('data_loss', 'a longer answer'))
          }
          received = concat([received, chunk])
          if (received.byteLength < PING_BYTES) return
          if (!equalBytes(received, sent)) return fail(pingError('data_loss', 'another answer'))
          resolve(this.#clock.nowMs() - startedMs)
          // Who does not end in time what is over is reset.
          const stopTimer = this.#clock.setTimer(this.#limits.identifyTimeoutMs, () => {
            pipe.destroy()
          })
          const leave = (): void => {
            stopTimer()
          }
          signal.removeEventListener('abort', onAbort)
          pipe.listen({ data: () => pipe.destroy(), drain: () => {}, end: () => {}, close: leave })
          pipe.end()
        },
        drain: () => {},
        end: () => {
          fail(pingError('unavailable', 'the other side ended'))
        },
        close: (error) => {
          reject(error ?? pingError('unavailable', 'the stream ended'))
        },
      })
      if (signal.aborted) {
        onAbort()
        return
      }
      if (pipe.closed) {
        fail(pingError('unavailable', 'the stream ended'))
        return
      }
      pipe.write([sent.slice()])
      pipe.resume()
    })
  }

  #answer(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const open = this.#inbound.get(peer) ?? 0
    const pipe = pipeOf(stream)
    if (open >= INBOUND_PER_PEER) {
      return pipe.destroy(pingError('resource_exhausted', 'too many streams'))
    }
    this.#inbound.set(peer, open + 1)
    let left = false
    answerPings(pipe, () => {
      if (left) return
      left = true
      const others = (this.#inbound.get(peer) ?? 1) - 1
      if (others > 0) this.#inbound.set(peer, others)
      else this.#inbound.delete(peer)
    })
  }
}

type PingCode = 'deadline_exceeded' | 'data_loss' | 'unavailable' | 'resource_exhausted'

function pingError(code: PingCode, state: string): P2pError {
  return new P2pError(code, `Cannot ping the peer: ${state}`, {
    layer: code === 'resource_exhausted' ? 'limit' : 'protocol',
  })
}
