/**
 * A rendezvous point (libp2p/specs rendezvous/README.md): keeps who is registered where, and tells whoever asks. It
 * takes a peer's word for nothing but its own address, signed by its key, on a connection of its own.
 */
import { concat, encodeUtf8, equalBytes, toHex } from '@stronghold/core'

import { cryptoRuntime } from '#runtime'

import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { TokenBucket } from '../connection/token-bucket.ts'
import type { PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import { openPeerRecord } from '../peer-record.ts'

import { isNamespace } from './find.ts'
import { MessageReader } from './message-reader.ts'
import { Registry } from './registry.ts'
import {
  DEFAULT_REGISTRATION_SECONDS,
  MAX_REGISTRATION_SECONDS,
  RENDEZVOUS_STATUS,
  decodeRendezvous,
  frameRendezvous,
} from './rendezvous-message.ts'
import type { RendezvousMessage, RendezvousStatus } from './rendezvous-message.ts'

// Ours. What has run out is forgotten at the latest then.
const SWEEP_MS = 60_000
const MAX_ASKERS = 4096
const BURST_SECONDS = 4
// Eight bytes of position, as text follows them in the cookies of others; then our mark on it, in hex.
const POSITION_BYTES = 8
const MARK_BYTES = 16
const COOKIE_BYTES = POSITION_BYTES + 2 * MARK_BYTES

/** What a point needs to know. */
export interface RendezvousPointInit {
  readonly clock: Clock
  readonly limits: Readonly<P2pLimits>
  random(length: number): Uint8Array
  /** Who may register and ask. Default: everybody who is let in. */
  allows?(peer: PeerId): boolean
}

/** How a point is used now. */
export interface RendezvousUsage {
  readonly registrations: number
  readonly streams: number
}

/** A rendezvous point. */
export class RendezvousPoint {
  readonly #init: RendezvousPointInit
  readonly #registry: Registry
  readonly #secretKey: Uint8Array
  readonly #streams = new Map<PeerId, number>()
  readonly #buckets = new Map<PeerId, TokenBucket>()
  #stopSweep: (() => void) | undefined

  constructor(init: RendezvousPointInit) {
    this.#init = init
    this.#registry = new Registry(init.limits)
    this.#secretKey = init.random(32)
  }

  get usage(): RendezvousUsage {
    let streams = 0
    for (const count of this.#streams.values()) streams += count
    return { registrations: this.#registry.size, streams }
  }

  start(): void {
    this.#stopSweep = this.#init.clock.setTimer(SWEEP_MS, () => {
      this.#registry.expire(this.#init.clock.nowMs())
      this.start()
    })
  }

  stop(): void {
    this.#stopSweep?.()
  }

  /** Answers on a stream that a peer opened, until it ends. Never rejects. */
  async serve(pipe: Pipe, peer: PeerId): Promise<void> {
    const { clock, limits } = this.#init
    const open = this.#streams.get(peer) ?? 0
    if (open >= limits.maxRendezvousStreams) {
      pipe.destroy()
      return
    }
    this.#streams.set(peer, open + 1)
    const reader = new MessageReader(pipe, {
      maxBytes: limits.maxRendezvousRequestBytes,
      timeoutMs: limits.rendezvousTimeoutMs,
      clock,
    })
    try {
      for (
        let request = await reader.read();
        request !== undefined;
        request = await reader.read()
      ) {
        const answer = await this.answer(decodeRendezvous(request), peer)
        // Who does not read what it asked for asks no more.
        if (answer !== undefined && !pipe.write([frameRendezvous(answer)])) break
      }
      pipe.end()
    } catch (error) {
      pipe.destroy(error instanceof Error ? error : undefined)
    } finally {
      const others = (this.#streams.get(peer) ?? 1) - 1
      if (others > 0) this.#streams.set(peer, others)
      else this.#streams.delete(peer)
    }
  }

  /** What is answered to a message of a peer; nothing to an unregistration, nor to what is no request. */
  async answer(message: RendezvousMessage, peer: PeerId): Promise<RendezvousMessage | undefined> {
    const allowed = this.#init.allows?.(peer) !== false
    const refused: RendezvousStatus | undefined = !allowed
      ? 'notAuthorized'
      : this.#mayAsk(peer)
        ? undefined
        : 'unavailable'
    switch (message.type) {
      case 'register':
        return this.#register(message, peer, refused)
      case 'unregister':
        if (allowed) this.#registry.unregister(peer, message.namespace)
        return undefined
      case 'discover':
        return refused === undefined ? this.#discover(message) : noDiscovery(refused)
      case 'registered':
      case 'discovered':
        return undefined
    }
  }

  async #register(
    { namespace, record, ttlSeconds = DEFAULT_REGISTRATION_SECONDS }: RegisterMessage,
    peer: PeerId,
    refused: RendezvousStatus | undefined,
  ): Promise<RendezvousMessage> {
    if (refused !== undefined) return notRegistered(refused)
    if (!isNamespace(namespace)) return notRegistered('invalidNamespace')
    if (ttlSeconds < 1 || ttlSeconds > MAX_REGISTRATION_SECONDS) return notRegistered('invalidTtl')
    if (!(await isRecordOf(peer, record))) return notRegistered('invalidRecord')
    const nowMs = this.#init.clock.nowMs()
    const expiresAtMs = nowMs + ttlSeconds * 1000
    const done = this.#registry.register({ peer, namespace, record, expiresAtMs }, nowMs)
    if (done !== 'ok') return notRegistered(done === 'quota' ? 'notAuthorized' : 'unavailable')
    return { type: 'registered', status: RENDEZVOUS_STATUS.ok, ttlSeconds }
  }

  #discover({ namespace, limit, cookie }: DiscoverMessage): RendezvousMessage {
    const { limits, clock } = this.#init
    // Some write the empty text for all namespaces.
    const wanted = namespace === '' ? undefined : namespace
    if (wanted !== undefined && !isNamespace(wanted)) return noDiscovery('invalidNamespace')
    const after = cookie === undefined ? 0 : this.#readCookie(cookie, wanted)
    if (after === undefined) return noDiscovery('invalidCookie')
    const nowMs = clock.nowMs()
    const most = Math.min(
      limit ?? limits.maxRegistrationsPerAnswer,
      limits.maxRegistrationsPerAnswer,
    )
    // Half of what a client of ours takes: what stands around the records is short.
    const maxBytes = limits.maxRendezvousAnswerBytes / 2
    const { registrations, last } = this.#registry.discover(wanted, after, most, maxBytes, nowMs)
    const told = registrations.map((one) => ({
      namespace: one.namespace,
      record: one.record,
      ttlSeconds: Math.ceil((one.expiresAtMs - nowMs) / 1000),
    }))
    return {
      type: 'discovered',
      status: RENDEZVOUS_STATUS.ok,
      registrations: told,
      cookie: this.#cookie(last, wanted),
    }
  }

  #mayAsk(peer: PeerId): boolean {
    const nowMs = this.#init.clock.nowMs()
    let bucket = this.#buckets.get(peer)
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_ASKERS) this.#buckets.clear()
      const perSecond = this.#init.limits.rendezvousRequestsPerSecond
      bucket = new TokenBucket(perSecond * BURST_SECONDS, perSecond, nowMs)
      this.#buckets.set(peer, bucket)
    }
    return bucket.take(nowMs)
  }

  // A cookie is of one namespace and one run of the point: after a restart positions begin anew, and an old cookie
  // would hide what is registered since.
  #cookie(position: number, namespace: string | undefined): Uint8Array {
    const head = new Uint8Array(POSITION_BYTES)
    new DataView(head.buffer).setBigUint64(0, BigInt(position))
    const what = namespace === undefined ? [] : [encodeUtf8(`/${namespace}`)]
    const mark = cryptoRuntime.hmacSha256(this.#secretKey, head, ...what).subarray(0, MARK_BYTES)
    return concat([head, encodeUtf8(toHex(mark))])
  }

  #readCookie(cookie: Uint8Array, namespace: string | undefined): number | undefined {
    if (cookie.byteLength !== COOKIE_BYTES) return undefined
    const { buffer, byteOffset } = cookie
    const position = Number(new DataView(buffer, byteOffset).getBigUint64(0))
    if (!Number.isSafeInteger(position)) return undefined
    return equalBytes(cookie, this.#cookie(position, namespace)) ? position : undefined
  }
}

type RegisterMessage = Extract<RendezvousMessage, { type: 'register' }>
type DiscoverMessage = Extract<RendezvousMessage, { type: 'discover' }>

async function isRecordOf(peer: PeerId, record: Uint8Array): Promise<boolean> {
  try {
    return (await openPeerRecord(record)).peer === peer
  } catch {
    return false
  }
}

function notRegistered(status: RendezvousStatus): RendezvousMessage {
  return { type: 'registered', status: RENDEZVOUS_STATUS[status], text: TEXTS[status] }
}

function noDiscovery(status: RendezvousStatus): RendezvousMessage {
  const code = RENDEZVOUS_STATUS[status]
  return { type: 'discovered', status: code, text: TEXTS[status], registrations: [] }
}

const TEXTS: Readonly<Record<RendezvousStatus, string>> = {
  ok: '',
  invalidNamespace: 'the namespace is not 1 to 255 bytes of plain text',
  invalidRecord: 'no signed record of the peer that registers',
  invalidTtl: 'the time is not between one second and 72 hours',
  invalidCookie: 'no cookie of this namespace',
  notAuthorized: 'not allowed, or too many registrations',
  internal: 'internal error',
  unavailable: 'too much at the moment',
}
