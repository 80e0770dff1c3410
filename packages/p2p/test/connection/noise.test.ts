import { concat, equalBytes } from '@stronghold/core'
import { beforeAll, describe, expect, it } from 'vitest'

import { NoiseCipher } from '../../src/connection/noise-handshake.ts'
import { MAX_PLAINTEXT_BYTES, NoisePipe } from '../../src/connection/noise-pipe.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { cryptoRuntime as browser } from '../../src/runtime/browser-crypto.ts'
import { cryptoRuntime as node } from '../../src/runtime/node-crypto.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Security } from '../../src/connection/security.ts'
import type { KeyType } from '../../src/keys.ts'
import type { Identity } from '../../src/open-identity.ts'

import { Told, options, secure, through } from './secured.ts'

let alice: Identity
let bob: Identity
let alices: Security
let bobs: Security
beforeAll(async () => {
  alice = await openIdentity({ generate: 'ed25519' })
  bob = await openIdentity({ generate: 'ed25519' })
  alices = createNoise({ identity: alice })
  bobs = createNoise({ identity: bob })
})

describe('a Noise handshake', () => {
  it.each<KeyType>(['ed25519', 'secp256k1', 'ecdsa', 'rsa'])(
    'proves both identities, with a key of type %s on one side and then the other',
    async (type) => {
      const carol = await openIdentity({ generate: type })
      const carols = createNoise({ identity: carol })
      const [toCarol, toAlice] = await secure(alices, carols, {
        outbound: { expected: carol.peer },
      })
      expect(toCarol.remote).toEqual({ peer: carol.peer, publicKey: carol.publicKey })
      expect(toAlice.remote).toEqual({ peer: alice.peer, publicKey: alice.publicKey })
      const [fromCarol] = await secure(carols, alices, { inbound: { expected: carol.peer } })
      expect(fromCarol.remote.peer).toBe(alice.peer)
    },
  )

  it('works between the two runtimes, either way', async () => {
    const other = createNoise({ identity: bob, crypto: browser })
    for (const [one, two] of [
      [alices, other],
      [other, alices],
    ] as const) {
      const [a, b] = await secure(one, two)
      const told = new Told(b.pipe)
      a.pipe.write([new Uint8Array(100_000).fill(7)])
      expect(await told.received(100_000)).toEqual(new Uint8Array(100_000).fill(7))
    }
  })

  it('takes the initiator’s first muxer that both have', async () => {
    const [a, b] = await secure(alices, bobs, {
      outbound: { muxers: ['/a', '/b', '/c'] },
      inbound: { muxers: ['/c', '/b'] },
    })
    expect([a.muxer, b.muxer]).toEqual(['/b', '/b'])
  })

  it('leaves the muxer open when one side offers none', async () => {
    for (const more of [{ outbound: { muxers: [] } }, { inbound: { muxers: [] } }]) {
      const [a, b] = await secure(alices, bobs, more)
      expect([a.muxer, b.muxer]).toEqual([undefined, undefined])
    }
  })

  it('fails on both sides when the muxers have nothing in common', async () => {
    const pair = pipePair()
    const results = await Promise.allSettled([
      alices.secureOutbound(pair[0], options({ muxers: ['/a'] })),
      bobs.secureInbound(pair[1], options({ muxers: ['/b'] })),
    ])
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(pair.map(({ closed }) => closed)).toEqual([true, true])
  })

  it('needs the same prologue on both sides', async () => {
    const prologue = Uint8Array.of(1)
    await secure(
      createNoise({ identity: alice, prologue }),
      createNoise({ identity: bob, prologue }),
    )
    const [a, b] = pipePair()
    const outbound = createNoise({ identity: alice, prologue }).secureOutbound(a, options())
    const inbound = bobs.secureInbound(b, options())
    await expect(outbound).rejects.toMatchObject({ code: 'unauthenticated', layer: 'security' })
    await expect(inbound).rejects.toMatchObject({ layer: 'security' })
  })

  it('leaves what came behind it to the next layer', async () => {
    const [a, b] = pipePair()
    const inbound = bobs.secureInbound(b, options())
    const { pipe } = await alices.secureOutbound(a, options())
    pipe.write([Uint8Array.of(1, 2, 3)])
    pipe.end()
    const told = new Told((await inbound).pipe)
    await told.ended
    expect(told.bytes).toEqual(Uint8Array.of(1, 2, 3))
  })
})

/** Lengths of the Noise messages in what was written. */
function lengthsOf(bytes: Uint8Array): number[] {
  const lengths: number[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const length = (bytes[at] as number) * 256 + (bytes[at + 1] as number)
    lengths.push(length)
    at += 2 + length
  }
  return lengths
}

describe('a Noise pipe', () => {
  it('seals small writes of one turn into one message, length and all in one write', async () => {
    const writes: number[][] = []
    const [a, b] = pipePair()
    const watched = through(a, (chunks) => {
      writes.push(chunks.map(({ byteLength }) => byteLength))
      return chunks
    })
    const [{ pipe }, other] = await secure(alices, bobs, {}, [watched, b])
    const told = new Told(other.pipe)
    writes.length = 0
    pipe.write([Uint8Array.of(1), Uint8Array.of(2)])
    pipe.write([])
    pipe.write([Uint8Array.of(3), new Uint8Array(0)])
    await told.received(3)
    expect(writes).toEqual([[2 + 3 + 16]])
    expect(told.chunks).toEqual([Uint8Array.of(1, 2, 3)])
  })

  it('fills messages to 65,519 bytes, cuts what is longer, and begins another for what is long', async () => {
    const writes: Uint8Array[][] = []
    const [a, b] = pipePair()
    const watched = through(a, (chunks) => {
      writes.push([...chunks])
      return chunks
    })
    const [{ pipe }, other] = await secure(alices, bobs, {}, [watched, b])
    const told = new Told(other.pipe)
    writes.length = 0
    const data = Uint8Array.from({ length: 2 * MAX_PLAINTEXT_BYTES + 11 }, (_, i) => i)
    pipe.write([data.subarray(0, 10), data.subarray(10)])
    expect(equalBytes(await told.received(data.byteLength), data)).toBe(true)
    expect(MAX_PLAINTEXT_BYTES).toBe(65_519)
    expect(writes.map(({ length }) => length)).toEqual([1])
    expect(lengthsOf(concat(writes.flat()))).toEqual([10 + 16, 65_535, 65_535, 1 + 16])
  })

  it('joins what is short, up to 16 KiB in one message', async () => {
    const written: Uint8Array[] = []
    const [a, b] = pipePair()
    const watched = through(a, (chunks) => {
      written.push(...chunks)
      return chunks
    })
    const [{ pipe }, other] = await secure(alices, bobs, {}, [watched, b])
    const told = new Told(other.pipe)
    written.length = 0
    pipe.write(Array.from({ length: 20 }, () => new Uint8Array(1000)))
    pipe.write([new Uint8Array(16_000)])
    await told.received(36_000)
    expect(lengthsOf(concat(written))).toEqual([16_384 + 16, 20_000 - 16_384 + 16, 16_000 + 16])
  })

  it('half-closes in each direction, and closes cleanly after both', async () => {
    const [a, b] = await secure(alices, bobs)
    const [toldA, toldB] = [new Told(a.pipe), new Told(b.pipe)]
    a.pipe.write([Uint8Array.of(1)])
    a.pipe.end()
    await toldB.ended
    expect(toldA.log).toEqual([])
    b.pipe.write([Uint8Array.of(2)])
    b.pipe.end()
    await Promise.all([toldA.closed, toldB.closed])
    expect(toldA.log).toEqual(['data', 'end', 'close'])
    expect(toldB.log).toEqual(['data', 'end', 'close'])
    expect([toldA.error, toldB.error]).toEqual([undefined, undefined])
    expect(a.pipe.closed).toBe(true)
  })

  it('tells nothing while paused, even in the middle of a chunk, and goes on where it was', async () => {
    const [a, b] = await secure(alices, bobs)
    const got: number[] = []
    const done = Promise.withResolvers<undefined>()
    b.pipe.listen({
      data: (chunk) => {
        got.push(chunk[0] as number)
        b.pipe.pause()
        queueMicrotask(() => {
          b.pipe.resume()
        })
      },
      drain: () => {},
      end: () => {
        done.resolve(undefined)
      },
      close: () => {},
    })
    b.pipe.resume()
    for (let i = 0; i < 5; i++) {
      a.pipe.write([Uint8Array.of(i)])
      await Promise.resolve()
    }
    a.pipe.end()
    await done.promise
    expect(got).toEqual([0, 1, 2, 3, 4])
  })

  it('gives unread bytes first, before what still comes', async () => {
    const [a, b] = await secure(alices, bobs)
    b.pipe.unshift(Uint8Array.of(3))
    b.pipe.unshift(Uint8Array.of(1, 2))
    a.pipe.write([Uint8Array.of(4)])
    const told = new Told(b.pipe)
    expect(await told.received(4)).toEqual(Uint8Array.of(1, 2, 3, 4))
  })

  it('says when it is full, and when it takes more again', async () => {
    const [a, b] = await secure(alices, bobs, {}, pipePair({ highWaterBytes: 1000 }))
    const toldA = new Told(a.pipe)
    const toldB = new Told(b.pipe, false)
    a.pipe.write([new Uint8Array(2000)])
    await Promise.resolve()
    expect(a.pipe.write([new Uint8Array(1)])).toBe(false)
    expect(a.pipe.queuedBytes).toBeGreaterThan(2000)
    b.pipe.resume()
    await toldB.received(2001)
    await Promise.resolve()
    expect(toldA.log).toEqual(['drain'])
    expect(a.pipe.write([new Uint8Array(1)])).toBe(true)
  })

  it('resets the other side when it is destroyed, and drops what was not sent', async () => {
    const [a, b] = await secure(alices, bobs)
    const [toldA, toldB] = [new Told(a.pipe), new Told(b.pipe)]
    const error = new Error('enough')
    a.pipe.write([Uint8Array.of(1)])
    a.pipe.destroy(error)
    a.pipe.destroy()
    await Promise.all([toldA.closed, toldB.closed])
    expect(toldA.log).toEqual(['close'])
    expect(toldA.error).toBe(error)
    expect(toldB.log).toEqual(['close'])
    expect(toldB.error).toBeInstanceOf(Error)
  })

  it('keeps the rest of a chunk for a listener that pauses within it, in memory of its own', async () => {
    const [a, b] = await secure(alices, bobs)
    const data = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251)
    const chunks: Uint8Array[] = []
    const { promise: whole, resolve } = Promise.withResolvers<undefined>()
    b.pipe.listen({
      data: (chunk) => {
        chunks.push(chunk)
        b.pipe.pause()
        setImmediate(() => {
          b.pipe.resume()
        })
        if (chunks.reduce((sum, { byteLength }) => sum + byteLength, 0) === data.byteLength)
          resolve(undefined)
      },
      drain: () => {},
      end: () => {},
      close: () => {},
    })
    b.pipe.resume()
    a.pipe.write([data])
    await whole
    expect(chunks.length).toBeGreaterThan(2)
    expect(Buffer.compare(Buffer.concat(chunks), data)).toBe(0)
  })

  it('ends when the message numbers are used up, and takes none twice', async () => {
    const createAead = node.createAead
    const cipher = (firstNonce: number): NoiseCipher =>
      new NoiseCipher(createAead(new Uint8Array(32)), firstNonce)
    const last = Number.MAX_SAFE_INTEGER
    const [a, b] = pipePair()
    const sender = new NoisePipe(a, cipher(last - 1), cipher(0))
    const receiver = new NoisePipe(b, cipher(0), cipher(last - 1))
    const [toldA, toldB] = [new Told(sender), new Told(receiver)]
    for (let i = 1; i <= 2; i++) {
      sender.write([Uint8Array.of(i)])
      await toldB.received(i)
    }
    sender.write([Uint8Array.of(3)])
    await Promise.all([toldA.closed, toldB.closed])
    expect(toldA.error).toMatchObject({ code: 'resource_exhausted' })
    expect(toldB.bytes).toEqual(Uint8Array.of(1, 2))
    const used = cipher(last)
    const tag = new Uint8Array(16)
    used.seal([], tag)
    for (let i = 0; i < 2; i++) expect(() => used.seal([], tag)).toThrow('used up')
  })

  it('counts past 32 bits', () => {
    const createAead = node.createAead
    const at = (nonce: number): string => {
      const sealed = new Uint8Array(17)
      new NoiseCipher(createAead(new Uint8Array(32)), nonce).seal([Uint8Array.of(1)], sealed)
      return sealed.join()
    }
    const seen = new Set([0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1].map(at))
    expect(seen.size).toBe(5)
  })
})
