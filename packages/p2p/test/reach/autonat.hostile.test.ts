/** Askers and answerers of AutoNAT v2 that do not keep to it: each limit at its edge. */
import { concat } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { beforeAll, describe, expect, test } from 'vitest'

import type { Pipe } from '../../src/connection/pipe.ts'
import { toMultiaddr } from '../../src/identity.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { openIdentity } from '../../src/open-identity.ts'
import {
  decodeCheck,
  encodeCheck,
  encodeDialBack,
  encodeDialBackAnswer,
  PADDING_BYTES,
} from '../../src/reach/autonat-message.ts'
import type { CheckMessage } from '../../src/reach/autonat-message.ts'
import { Checks } from '../../src/reach/check.ts'
import type { ProofConnection } from '../../src/reach/check.ts'
import { DialBacks } from '../../src/reach/dial-back.ts'
import { readMessage } from '../../src/reach/relay-exchange.ts'
import { frameRelayMessage } from '../../src/reach/relay-message.ts'
import { P2pError } from '../../src/errors.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { Recorder, turns } from '../transports/pipe-events.ts'

const OUTSIDE = '/ip4/9.9.9.9/tcp/7430' as Address
const NEVER = new AbortController().signal

let peer: PeerId
let other: PeerId
beforeAll(async () => {
  peer = (await openIdentity({ generate: 'ed25519' })).peer
  other = (await openIdentity({ generate: 'ed25519' })).peer
})

/** Somebody who dials back, over pipes in memory. */
class Bench {
  readonly clock: ManualClock = manualClock()
  readonly limits: P2pLimits
  readonly backs: DialBacks
  /** What was dialled. */
  readonly dialled: Address[] = []
  /** Streams opened on what was dialled: their other ends. */
  readonly proofs: Pipe[] = []
  closed = 0
  reaches: (address: Address, signal: AbortSignal) => Promise<void> = async () => {}

  constructor(limits: Partial<P2pLimits> = {}, privately = false) {
    this.limits = resolveLimits(limits)
    this.backs = new DialBacks({
      limits: this.limits,
      clock: this.clock,
      privately,
      speaks: (version) => version === 4,
      dial: async (address, signal) => {
        this.dialled.push(address)
        await this.reaches(address, signal)
        return {
          open: () => {
            const [near, far] = pipePair()
            this.proofs.push(far)
            return near
          },
          close: () => {
            this.closed += 1
          },
        }
      },
    })
  }

  ask(from: Address = OUTSIDE, who = peer, relayed = false): Pipe {
    const [near, far] = pipePair()
    this.backs.take(far, { peer: who, address: from, relayed })
    return near
  }

  /** Asks for some addresses and gives the first answer. */
  async answer(pipe: Pipe, ...addresses: string[]): Promise<CheckMessage> {
    pipe.write([frame(request(...addresses))])
    return this.next(pipe)
  }

  async next(pipe: Pipe): Promise<CheckMessage> {
    const init = { maxBytes: 8192, timeoutMs: 60_000, clock: this.clock }
    return decodeCheck(await readMessage(pipe, init))
  }
}

function request(...addresses: string[]): CheckMessage {
  const bytes = addresses.map((one) => toMultiaddr(one as Address).bytes)
  return { type: 'request', addresses: bytes, nonce: 7n }
}

function frame(message: CheckMessage): Uint8Array {
  return frameRelayMessage(encodeCheck(message))
}

const REFUSED = { type: 'response', status: 101 }
const REJECTED = { type: 'response', status: 100 }

describe('who dials back', () => {
  test('dials the first address it may, proves it, and says so', async () => {
    const bench = new Bench()
    const pipe = bench.ask()
    pipe.write([frame(request('/ip4/10.0.0.1/tcp/1', OUTSIDE))])
    await turns(10)
    expect(bench.dialled).toEqual([`${OUTSIDE}/p2p/${peer}`])
    const proof = bench.proofs[0] ?? expect.fail('no proof')
    const heard = new Recorder(proof)
    await heard.until(() => heard.bytes === 10)
    expect(heard.all()).toEqual(concat([Uint8Array.of(9), encodeDialBack(7n)]))
    proof.write([frameRelayMessage(encodeDialBackAnswer())])
    expect(await bench.next(pipe)).toEqual({ type: 'response', status: 200, index: 1, dial: 200 })
    expect([bench.closed, bench.backs.size]).toEqual([1, 0])
  })

  test('says where nobody answered, and where the proof was not taken', async () => {
    const bench = new Bench()
    bench.reaches = () => Promise.reject(new Error('refused'))
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject({ status: 200, dial: 100 })
    bench.reaches = async () => {}
    const pipe = bench.ask()
    pipe.write([frame(request(OUTSIDE))])
    await turns(10)
    bench.proofs[0]?.destroy()
    expect(await bench.next(pipe)).toMatchObject({ status: 200, dial: 101 })
    bench.reaches = () =>
      Promise.reject(new P2pError('resource_exhausted', 'Cannot dial: full', { layer: 'limit' }))
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject({ status: 0, dial: 0 })
  })

  test.each([
    '/ip4/10.1.2.3/tcp/1',
    '/ip4/192.168.0.1/tcp/1',
    '/ip4/100.64.0.1/tcp/1',
    '/ip4/127.0.0.1/tcp/1',
    '/ip4/169.254.169.254/tcp/80',
    '/ip4/0.0.0.0/tcp/1',
    '/ip4/224.0.0.1/tcp/1',
    '/ip4/255.255.255.255/tcp/1',
    '/ip6/::1/tcp/1',
    '/ip6/fe80::1/tcp/1',
    '/ip6/fd00::1/tcp/1',
    '/ip6/::ffff:10.0.0.1/tcp/1',
    '/ip6/64:ff9b::a00:1/tcp/1',
    '/ip6/2002:a00:1::1/tcp/1',
    '/dns4/localhost/tcp/1',
    '/dns4/example.org/tcp/1',
    '/ip4/9.9.9.9/udp/1',
    '/ip4/9.9.9.9/tcp/0',
    '/ip4/9.9.9.9/tcp/1/p2p-circuit',
  ])('%s is never dialled', async (address) => {
    const bench = new Bench()
    const from = address.startsWith('/ip6') ? ('/ip6/2a00::1/tcp/1' as Address) : OUTSIDE
    expect(await bench.answer(bench.ask(from), address)).toMatchObject(REFUSED)
    expect(bench.dialled).toEqual([])
  })

  test('an address that names another peer is not dialled, nor one of a version that is not spoken', async () => {
    const bench = new Bench()
    const asked = await bench.answer(bench.ask(), `${OUTSIDE}/p2p/${other}`, '/ip6/2a00::1/tcp/1')
    expect(asked).toMatchObject(REFUSED)
  })

  test('private addresses are dialled where that was said', async () => {
    const bench = new Bench({}, true)
    bench.reaches = () => Promise.reject(new Error('refused'))
    const own = '/ip4/127.0.0.1/tcp/5' as Address
    expect(await bench.answer(bench.ask(own), own)).toMatchObject({ status: 200, dial: 100 })
  })

  test('no more than maxDialBackAddresses are read', async () => {
    const bench = new Bench({ maxDialBackAddresses: 2 })
    const [a, b] = ['/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.2/tcp/1']
    expect(await bench.answer(bench.ask(), a ?? '', b ?? '', OUTSIDE)).toMatchObject(REFUSED)
    bench.reaches = () => Promise.reject(new Error('refused'))
    expect(await bench.answer(bench.ask(), a ?? '', OUTSIDE)).toMatchObject({ index: 1, dial: 100 })
  })

  test('another host than the asker is dialled for paddingBytes only', async () => {
    const bench = new Bench({ paddingBytes: 2 * PADDING_BYTES })
    bench.reaches = () => Promise.reject(new Error('refused'))
    const pipe = bench.ask('/ip4/8.8.8.8/tcp/1' as Address)
    const wanted = await bench.answer(pipe, OUTSIDE)
    expect(wanted).toEqual({ type: 'dataRequest', index: 0, byteLength: 8192 })
    pipe.write([frame({ type: 'data', byteLength: PADDING_BYTES })])
    pipe.write([frame({ type: 'data', byteLength: PADDING_BYTES - 1 })])
    await turns(10)
    expect(bench.dialled).toEqual([])
    pipe.write([frame({ type: 'data', byteLength: 1 })])
    expect(await bench.next(pipe)).toMatchObject({ status: 200, dial: 100 })
  })

  test('padding in tiny pieces, or something else in its place, resets the stream', async () => {
    const bench = new Bench()
    for (const message of [{ type: 'data', byteLength: 63 }, request(OUTSIDE)] as const) {
      const pipe = bench.ask('/ip4/8.8.8.8/tcp/1' as Address)
      await bench.answer(pipe, OUTSIDE)
      const heard = new Recorder(pipe)
      pipe.write([frame(message)])
      await heard.until(() => heard.closed)
    }
    expect([bench.dialled.length, bench.backs.size]).toEqual([0, 0])
  })

  test('who comes through a relay is rejected, and whoever asks too often', async () => {
    const bench = new Bench({ dialBacksPerPeerPerMinute: 2, dialBacksPerMinute: 3 })
    bench.reaches = () => Promise.reject(new Error('refused'))
    expect(await bench.next(bench.ask(OUTSIDE, peer, true))).toMatchObject(REJECTED)
    for (let i = 0; i < 2; i++) {
      expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject({ status: 200 })
    }
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject(REJECTED)
    expect(await bench.answer(bench.ask(OUTSIDE, other), OUTSIDE)).toMatchObject({ status: 200 })
    expect(await bench.answer(bench.ask(OUTSIDE, other), OUTSIDE)).toMatchObject(REJECTED)
    bench.clock.advance(30_000)
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject({ status: 200 })
  })

  test('maxDialBacks at once, each within checkTimeoutMs', async () => {
    const bench = new Bench({ maxDialBacks: 2, checkTimeoutMs: 1000 })
    const pipes = [bench.ask(), bench.ask()]
    const heard = pipes.map((pipe) => new Recorder(pipe))
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject(REJECTED)
    bench.clock.advance(1000)
    await Promise.all(heard.map((one) => one.until(() => one.closed)))
    await turns(5)
    expect(bench.backs.size).toBe(0)
    bench.reaches = () => Promise.reject(new Error('refused'))
    expect(await bench.answer(bench.ask(), OUTSIDE)).toMatchObject({ status: 200 })
  })

  test('where a router swallows what comes, it was not reached once dialTimeoutMs is over', async () => {
    const bench = new Bench({ dialTimeoutMs: 1000, checkTimeoutMs: 2000 })
    bench.reaches = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
      })
    const answer = bench.answer(bench.ask(), OUTSIDE)
    await turns(10)
    bench.clock.advance(1000)
    expect(await answer).toMatchObject({ status: 200, dial: 100 })
    expect(bench.backs.size).toBe(0)
  })

  test('a message above maxCheckMessageBytes resets the stream', async () => {
    const bench = new Bench({ maxCheckMessageBytes: 100 })
    const pipe = bench.ask()
    const heard = new Recorder(pipe)
    pipe.write([Uint8Array.of(101)])
    await heard.until(() => heard.closed)
    expect(bench.dialled).toEqual([])
  })
})

/** Somebody who asks, and our hand in the place of who dials back. */
class Asking {
  readonly clock: ManualClock = manualClock()
  readonly limits: P2pLimits
  readonly checks: Checks
  readonly far: Pipe
  readonly result: Promise<unknown>
  readonly #near: Pipe

  constructor(limits: Partial<P2pLimits> = {}, signal = NEVER) {
    this.limits = resolveLimits(limits)
    ;[this.#near, this.far] = pipePair()
    this.checks = new Checks({
      limits: this.limits,
      clock: this.clock,
      random: () => Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 7),
    })
    this.result = this.checks.check(OUTSIDE, () => this.#near, signal)
    this.result.catch(() => {})
  }

  async asked(): Promise<CheckMessage> {
    const init = { maxBytes: 8192, timeoutMs: 1000, clock: this.clock }
    return decodeCheck(await readMessage(this.far, init))
  }

  say(message: CheckMessage): void {
    this.far.write([frame(message)])
  }

  /** A stream with a proof, as it arrives on a connection. */
  prove(nonce: bigint, connection: Partial<ProofConnection> = {}): Recorder {
    const [near, far] = pipePair()
    const taken = this.checks.take(far, {
      direction: 'inbound',
      relayed: false,
      transport: 'tcp',
      remoteAddress: '/ip4/8.8.8.8/tcp/999' as Address,
      openedAtMs: this.clock.nowMs(),
      ...connection,
    })
    const heard = new Recorder(near)
    if (!taken) near.destroy()
    else near.write([frameRelayMessage(encodeDialBack(nonce))])
    return heard
  }
}

const OK: CheckMessage = { type: 'response', status: 200, index: 0, dial: 200 }

describe('who asks', () => {
  test('believes the number that came back', async () => {
    const asking = new Asking()
    expect(await asking.asked()).toEqual(request(OUTSIDE))
    const heard = asking.prove(7n)
    await heard.until(() => heard.ended)
    expect(heard.all()).toEqual(Uint8Array.of(0))
    asking.say(OK)
    expect(await asking.result).toBe('reachable')
    expect(asking.checks.size).toBe(0)
  })

  test('does not believe the word alone', async () => {
    const asking = new Asking({ checkTimeoutMs: 1000 })
    asking.say(OK)
    await turns(5)
    asking.clock.advance(1000)
    expect(await asking.result).toBe('unknown')
  })

  test.each<[string, bigint, Partial<ProofConnection>]>([
    ['another number', 8n, {}],
    ['on a connection that stood before', 7n, { openedAtMs: 0 }],
    ['on a connection of ours', 7n, { direction: 'outbound' }],
    ['through a relay', 7n, { relayed: true }],
    ['by another transport', 7n, { transport: 'ws' }],
    ['by another version of IP', 7n, { remoteAddress: '/ip6/2a00::1/tcp/1' as Address }],
  ])('a proof %s is none', async (_, nonce, connection) => {
    const asking = new Asking({ checkTimeoutMs: 1000 })
    const heard = asking.prove(nonce, connection)
    await heard.until(() => heard.closed)
    expect(heard.bytes).toBe(0)
    asking.say(OK)
    await turns(5)
    asking.clock.advance(1000)
    expect(await asking.result).toBe('unknown')
  })

  test('nobody may prove anything while nothing is asked', async () => {
    const asking = new Asking()
    asking.say({ type: 'response', status: 200, index: 0, dial: 100 })
    expect(await asking.result).toBe('unreachable')
    const heard = asking.prove(7n)
    await heard.until(() => heard.closed)
    expect(heard.bytes).toBe(0)
  })

  test.each<[string, CheckMessage, string]>([
    ['a dial that failed', { ...OK, dial: 100 }, 'unreachable'],
    ['a proof that failed', { ...OK, dial: 101 }, 'unknown'],
    ['a refusal', { ...OK, status: 101 }, 'refused'],
    ['a rejection', { ...OK, status: 100 }, 'unknown'],
    ['a status of somebody later', { ...OK, status: 300 }, 'unknown'],
    ['an address that was not asked', { ...OK, index: 1 }, 'unknown'],
  ])('%s is what it is', async (_, message, result) => {
    const asking = new Asking()
    asking.say(message)
    expect(await asking.result).toBe(result)
  })

  test('the end without a word is a refusal', async () => {
    const asking = new Asking()
    asking.far.end()
    expect(await asking.result).toBe('refused')
  })

  test('pays padding up to maxPaddingBytes, once', async () => {
    const asking = new Asking({ maxPaddingBytes: 5000 })
    await asking.asked()
    asking.say({ type: 'dataRequest', index: 0, byteLength: 5000 })
    expect(await asking.asked()).toEqual({ type: 'data', byteLength: PADDING_BYTES })
    expect(await asking.asked()).toEqual({ type: 'data', byteLength: PADDING_BYTES })
    asking.say({ type: 'dataRequest', index: 0, byteLength: 5000 })
    await expect(asking.result).rejects.toMatchObject({ code: 'invalid_argument' })
    const greedy = new Asking({ maxPaddingBytes: 5000 })
    greedy.say({ type: 'dataRequest', index: 0, byteLength: 5001 })
    await expect(greedy.result).rejects.toMatchObject({ code: 'resource_exhausted' })
    expect(greedy.far.closed || greedy.checks.size === 0).toBe(true)
  })

  test('silence ends after checkTimeoutMs, and the caller may end it before', async () => {
    const asking = new Asking({ checkTimeoutMs: 1000 })
    await turns(3)
    asking.clock.advance(1000)
    await expect(asking.result).rejects.toMatchObject({ code: 'deadline_exceeded' })
    const control = new AbortController()
    const ended = new Asking({}, control.signal)
    control.abort(new Error('enough'))
    await expect(ended.result).rejects.toThrow('enough')
    expect(ended.checks.size).toBe(0)
  })
})
