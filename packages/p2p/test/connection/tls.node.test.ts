import { once } from 'node:events'
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'

import { beforeAll, describe, expect, it } from 'vitest'

import { createTls } from '../../src/connection/tls.ts'
import { isP2pError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { SocketPipe } from '../../src/transports/socket-pipe.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import type { Security } from '../../src/connection/security.ts'
import type { KeyType } from '../../src/keys.ts'
import type { Identity } from '../../src/open-identity.ts'
import { pipeSuite } from '../transports/pipe-suite.ts'
import { leavesNoSockets, socketPair } from '../transports/socket-pair.ts'

import { craft, extension, pem, plainTls } from './craft-certificate.ts'
import type { Craft, Crafted } from './craft-certificate.ts'
import { Told, options, secure, through } from './secured.ts'

leavesNoSockets()

let alice: Identity
let bob: Identity
let alices: Security
let bobs: Security
beforeAll(async () => {
  alice = await openIdentity({ generate: 'ed25519' })
  bob = await openIdentity({ generate: 'ed25519' })
  alices = createTls({ identity: alice })
  bobs = createTls({ identity: bob })
})

async function sockets(): Promise<[Pipe, Pipe]> {
  const [a, b] = await socketPair()
  return [new SocketPipe(a, DEFAULT_LIMITS), new SocketPipe(b, DEFAULT_LIMITS)]
}

/** The two ways TLS takes: on the socket itself, and on a pipe that gives none. */
const WAYS: Record<string, () => Promise<[Pipe, Pipe]>> = {
  'on sockets': sockets,
  'on sockets behind a pipe': async () => {
    const [a, b] = await sockets()
    return [through(a, (chunks) => chunks), through(b, (chunks) => chunks)]
  },
  'with the dialer behind a pipe': async () => {
    const [a, b] = await sockets()
    return [through(a, (chunks) => chunks), b]
  },
  'in memory': async () => pipePair(),
}

describe.each(Object.entries(WAYS))('TLS %s', (_, open) => {
  it.each<KeyType>(['ed25519', 'secp256k1', 'ecdsa', 'rsa'])(
    'proves both identities, with a key of type %s at the other end',
    async (type) => {
      const carol = await openIdentity({ generate: type })
      const [toCarol, toAlice] = await secure(
        alices,
        createTls({ identity: carol }),
        { outbound: { expected: carol.peer }, inbound: { expected: alice.peer } },
        await open(),
      )
      expect(toCarol.remote).toEqual({ peer: carol.peer, publicKey: carol.publicKey })
      expect(toAlice.remote).toEqual({ peer: alice.peer, publicKey: alice.publicKey })
      toCarol.pipe.destroy()
      toAlice.pipe.destroy()
    },
  )

  it('takes the dialer’s first muxer that both have, or none', async () => {
    for (const [ours, theirs, chosen] of [
      [['/a', '/b', '/c'], ['/c', '/b'], '/b'],
      [['/a'], ['/b'], undefined],
      [[], ['/a'], undefined],
      [['/a'], [], undefined],
    ] as const) {
      const more = { outbound: { muxers: ours }, inbound: { muxers: theirs } }
      const [a, b] = await secure(alices, bobs, more, await open())
      expect([a.muxer, b.muxer]).toEqual([chosen, chosen])
      a.pipe.destroy()
      b.pipe.destroy()
    }
  })

  it('refuses another peer than the expected one, on either side', async () => {
    for (const more of [
      { outbound: { expected: alice.peer } },
      { inbound: { expected: bob.peer } },
    ]) {
      const pair = await open()
      const results = await Promise.allSettled([
        alices.secureOutbound(pair[0], options(more.outbound)),
        bobs.secureInbound(pair[1], options(more.inbound)),
      ])
      const failed = results[more.outbound === undefined ? 1 : 0]
      expect(failed).toMatchObject({
        status: 'rejected',
        reason: { code: 'unauthenticated', layer: 'security', ran: 'no' },
      })
      for (const result of results) if (result.status === 'fulfilled') result.value.pipe.destroy()
    }
  })

  it('carries what was written right behind the handshake, and half-closes', async () => {
    const [a, b] = await open()
    const inbound = bobs.secureInbound(b, options())
    const { pipe } = await alices.secureOutbound(a, options())
    pipe.write([Uint8Array.of(1, 2, 3)])
    pipe.end()
    const other = (await inbound).pipe
    const [toldA, toldB] = [new Told(pipe), new Told(other)]
    await toldB.ended
    expect(toldB.bytes).toEqual(Uint8Array.of(1, 2, 3))
    other.write([Uint8Array.of(4)])
    other.end()
    await Promise.all([toldA.closed, toldB.closed])
    expect(toldA.bytes).toEqual(Uint8Array.of(4))
    expect(toldA.log).toEqual(['data', 'end', 'close'])
    expect([toldA.error, toldB.error]).toEqual([undefined, undefined])
  })

  it('ends at once with the signal, early or late, and leaves nothing', async () => {
    for (const early of [true, false]) {
      for (const side of ['secureInbound', 'secureOutbound'] as const) {
        const controller = new AbortController()
        const [a, b] = await open()
        const told = new Told(b)
        const reason = new Error('too slow')
        if (early) controller.abort(reason)
        const failure = alices[side](a, options({ signal: controller.signal }))
        failure.catch(() => undefined)
        if (!early && side === 'secureOutbound') await told.received(1)
        controller.abort(reason)
        await expect(failure).rejects.toBe(reason)
        await told.closed
      }
    }
  })

  it('fails clearly on junk, on an end, and on a reset', async () => {
    for (const side of ['secureInbound', 'secureOutbound'] as const) {
      for (const act of ['junk', 'end', 'reset'] as const) {
        const [a, b] = await open()
        const told = new Told(b)
        const failure = alices[side](a, options()).catch((error: unknown) => error)
        if (act === 'junk') b.write([new Uint8Array(300).fill(0x41)])
        if (act === 'end') b.end()
        if (act === 'reset') b.destroy()
        const error = await failure
        expect(isP2pError(error), String(error)).toBe(true)
        expect(error).toMatchObject({
          code: act === 'junk' ? 'invalid_argument' : 'unavailable',
          layer: 'security',
        })
        b.destroy()
        await told.closed
      }
    }
  })
})

describe('on a pipe, TLS', () => {
  it('takes `maxHandshakeBytes` and no more', async () => {
    let bytes = 0
    const [a, b] = pipePair()
    const counted = through(a, (chunks) => {
      for (const chunk of chunks) bytes += chunk.byteLength
      return chunks
    })
    const [first] = await secure(alices, bobs, {}, [counted, b])
    const handshakeBytes = bytes
    first.pipe.destroy()
    const [again] = await secure(alices, bobs, {
      inbound: { maxHandshakeBytes: handshakeBytes + 8 },
    })
    again.pipe.destroy()
    const [c, d] = pipePair()
    const outbound = alices.secureOutbound(c, options()).catch(() => undefined)
    await expect(
      bobs.secureInbound(d, options({ maxHandshakeBytes: handshakeBytes - 8 })),
    ).rejects.toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
    ;(await outbound)?.pipe.destroy()
  })

  it('carries the handshake when each byte arrives alone', async () => {
    const fragment = (chunk: Uint8Array): Uint8Array[] =>
      Array.from(chunk, (byte) => Uint8Array.of(byte))
    const [a, b] = await secure(alices, bobs, {}, pipePair({ fragment }))
    const told = new Told(b.pipe)
    a.pipe.write([new Uint8Array(1000).fill(5)])
    expect(await told.received(1000)).toEqual(new Uint8Array(1000).fill(5))
    a.pipe.destroy()
    await told.closed
  })
})

/** How our end answers to a TLS end of Node.js that presents this certificate, as dialer and as listener. */
async function answers(
  crafted: Crafted | undefined,
  more: Parameters<typeof plainTls>[3] = {},
): Promise<unknown[]> {
  const results: unknown[] = []
  for (const side of ['secureOutbound', 'secureInbound'] as const) {
    const [near, far] = await socketPair()
    far.on('error', () => {})
    const closed = once(far, 'close')
    const secured = alices[side](new SocketPipe(near, DEFAULT_LIMITS), options())
    const tls: TLSSocket = plainTls(far, side === 'secureOutbound', crafted, more)
    tls.resume()
    const result = await secured.then(
      ({ pipe, remote }) => {
        pipe.destroy()
        return remote.peer
      },
      (error: unknown) => error,
    )
    results.push(result)
    await closed
    tls.destroy()
  }
  return results
}

describe('of another’s certificate, TLS', () => {
  async function verdict(
    init: Omit<Craft, 'identity'>,
    more?: { others: Uint8Array[] },
  ): Promise<unknown[]> {
    return answers(await craft({ identity: bob, ...init }), more)
  }

  it('trusts a good one, with other extensions or without', async () => {
    expect(await verdict({})).toEqual([bob.peer, bob.peer])
    const others = { before: [extension('1.2.3', Uint8Array.of(5, 0))] }
    expect(await verdict(others)).toEqual([bob.peer, bob.peer])
  })

  it.each<[string, Omit<Craft, 'identity'>, RegExp]>([
    ['an expired one', { validTo: -1 }, /it has expired/],
    ['one not valid yet', { validFrom: 3000 }, /not valid yet/],
    [
      'an unknown critical extension',
      { before: [extension('1.2.3', Uint8Array.of(5, 0), 0xff)] },
      /unknown critical/,
    ],
    ['a missing libp2p extension', { libp2p: null }, /no libp2p extension/],
    [
      'a bad self-signature',
      { alter: (bytes) => bytes.with(11, (bytes[11] as number) ^ 2) },
      /own signature is wrong/,
    ],
    ['an identity that signed something else', { misproven: true }, /not proven/],
  ])('refuses %s', async (_, init, message) => {
    for (const result of await verdict(init)) {
      expect(result).toMatchObject({
        code: 'unauthenticated',
        layer: 'security',
        message: expect.stringMatching(message) as string,
      })
    }
  })

  it('refuses two certificates, related or not, and the same one twice', async () => {
    const own = await craft({ identity: bob })
    const other = await craft({ identity: alice })
    for (const others of [
      [other.certificate],
      [own.certificate],
      [other.certificate, own.certificate],
    ]) {
      for (const result of await answers(own, { others })) {
        expect(result).toMatchObject({
          code: 'unauthenticated',
          message: expect.stringMatching(/comes with others/) as string,
        })
      }
    }
  })

  it('refuses none, as listener', async () => {
    const [, result] = await answers(undefined).catch(() => [undefined, undefined])
    expect(result).toMatchObject({ code: 'unauthenticated' })
  })

  it('refuses TLS 1.2', async () => {
    for (const result of await answers(await craft({ identity: bob }), { maxVersion: 'TLSv1.2' })) {
      expect(result).toMatchObject({ code: 'invalid_argument', layer: 'security' })
    }
  })

  it('refuses, as listener, when the application protocols have nothing in common', async () => {
    const [near, far] = await socketPair()
    const secured = alices.secureInbound(new SocketPipe(near, DEFAULT_LIMITS), options())
    const tls = plainTls(far, false, await craft({ identity: bob }), { alpn: ['h2'] })
    await expect(secured).rejects.toMatchObject({ code: 'invalid_argument' })
    tls.destroy()
  })
})

describe('the certificate of a node', () => {
  async function presented(security: Security): Promise<string> {
    const [near, far] = await socketPair()
    const inbound = security.secureInbound(new SocketPipe(near, DEFAULT_LIMITS), options())
    const tls = plainTls(far, false, await craft({ identity: bob }))
    await inbound
    const { fingerprint256 } = tls.getPeerCertificate()
    tls.destroy()
    ;(await inbound).pipe.destroy()
    return fingerprint256
  }

  it('is one for many handshakes, another for another node', async () => {
    const security = createTls({ identity: alice })
    expect(await presented(security)).toBe(await presented(security))
    expect(await presented(createTls({ identity: alice }))).not.toBe(await presented(security))
  })

  it('is valid for thirty days and made again after fifteen', async () => {
    const DAY = 86_400_000
    const start = Math.floor(Date.now() / 1000) * 1000
    let nowMs = start
    const old = createTls({ identity: alice, clock: { nowMs: () => nowMs } })
    /** What somebody says whose clock shows `theirsMs`, while ours shows `nowMs`. */
    const shake = async (theirsMs: number): Promise<string> => {
      const pair = pipePair()
      const other = createTls({ identity: bob, clock: { nowMs: () => theirsMs } })
      const results = await Promise.allSettled([
        other.secureOutbound(pair[0], options()),
        old.secureInbound(pair[1], options()),
      ])
      for (const result of results) if (result.status === 'fulfilled') result.value.pipe.destroy()
      const [theirs] = results
      return theirs.status === 'fulfilled' ? 'trusted' : String(theirs.reason)
    }
    expect(await shake(start)).toBe('trusted')
    expect(await shake(start + 30 * DAY)).toBe('trusted')
    expect(await shake(start + 30 * DAY + 1000)).toMatch('has expired')
    expect(await shake(start - DAY - 1000)).toMatch('not valid yet')
    nowMs = start + 15 * DAY - 1
    expect(await shake(start + 30 * DAY + 1000)).toMatch('has expired')
    nowMs = start + 15 * DAY
    expect(await shake(start + 45 * DAY)).toBe('trusted')
    expect(await shake(start + 45 * DAY + 1000)).toMatch('has expired')
  })
})

describe('sessions', () => {
  it('are never resumed', async () => {
    const own = await craft({ identity: bob })
    const dial = async (
      session?: Buffer,
    ): Promise<{ reused: boolean; session: Buffer | undefined }> => {
      const [near, far] = await socketPair()
      const inbound = alices.secureInbound(new SocketPipe(near, DEFAULT_LIMITS), options())
      const tls = connect({
        socket: far,
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
        ALPNProtocols: ['libp2p'],
        key: own.key.export({ format: 'pem', type: 'pkcs8' }),
        cert: pem(own.certificate),
        ...(session === undefined ? {} : { session }),
      })
      let ticket: Buffer | undefined
      tls.on('session', (given: Buffer) => {
        ticket = given
      })
      const { pipe } = await inbound
      const done = once(tls, 'data')
      pipe.write([Uint8Array.of(1)])
      await done
      const reused = tls.isSessionReused()
      tls.destroy()
      pipe.destroy()
      return { reused, session: ticket }
    }
    const first = await dial()
    const second = await dial(first.session)
    expect(second.reused).toBe(false)
  })
})

pipeSuite('TLS on sockets', {
  open: async () => {
    const [a, b] = await secure(alices, bobs, {}, await sockets())
    return [a.pipe, b.pipe]
  },
  maxUnreadBytes: 16 * 1024 * 1024,
})

pipeSuite('TLS on a pipe', {
  open: async () => {
    const [a, b] = await secure(alices, bobs)
    return [a.pipe, b.pipe]
  },
  maxUnreadBytes: 16 * 1024 * 1024,
})
