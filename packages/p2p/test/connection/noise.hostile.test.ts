import { inspect } from 'node:util'

import { concat } from '@stronghold/core'
import { beforeAll, describe, expect, it } from 'vitest'

import { XXHandshake } from '../../src/connection/noise-handshake.ts'
import { NoiseFrames } from '../../src/connection/noise-frames.ts'
import { encodePayload, signedBytes } from '../../src/connection/noise-payload.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { P2pError } from '../../src/errors.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { cryptoRuntime } from '../../src/runtime/node-crypto.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'
import type { Security } from '../../src/connection/security.ts'
import type { DhKey } from '../../src/runtime/crypto.ts'
import type { Identity } from '../../src/open-identity.ts'

import { Told, options, secure } from './secured.ts'

const NONE = new Uint8Array(0)

let alice: Identity
let mallory: Identity
let alices: Security
let mallorys: Security
beforeAll(async () => {
  alice = await openIdentity({ generate: 'ed25519' })
  mallory = await openIdentity({ generate: 'ed25519' })
  alices = createNoise({ identity: alice })
  mallorys = createNoise({ identity: mallory })
})

function framed(message: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(message.byteLength >> 8, message.byteLength & 255), message])
}

/** A responder of a script: plays the handshake with any payload. */
async function respond(
  pipe: Pipe,
  payload: (staticKey: DhKey) => Promise<Uint8Array>,
): Promise<void> {
  const staticKey = cryptoRuntime.generateDhKey()
  const state = new XXHandshake({
    crypto: cryptoRuntime,
    createAead: cryptoRuntime.createAead,
    initiator: false,
    prologue: NONE,
    staticKey,
    ephemeralKey: cryptoRuntime.generateDhKey(),
  })
  const told = new Told(pipe)
  state.read((await told.received(34)).subarray(2, 34))
  pipe.write([framed(state.write(await payload(staticKey)))])
}

async function dialled(payload: (staticKey: DhKey) => Promise<Uint8Array>): Promise<unknown> {
  const [a, b] = pipePair()
  const failure = alices.secureOutbound(a, options()).catch((error: unknown) => error)
  await respond(b, payload)
  const error = await failure
  expect(a.closed).toBe(true)
  return error
}

async function signed(staticKey: DhKey, identity: Identity): Promise<Uint8Array> {
  return identity.sign(signedBytes(staticKey.publicKey))
}

describe('a Noise handshake refuses', () => {
  it('another peer than the expected one, as dialer and as listener', async () => {
    for (const side of ['outbound', 'inbound'] as const) {
      const pair = pipePair()
      const other = await openIdentity({ generate: 'ed25519' })
      const expecting = options({ expected: other.peer })
      const results = await Promise.allSettled(
        side === 'outbound'
          ? [alices.secureOutbound(pair[0], expecting), mallorys.secureInbound(pair[1], options())]
          : [alices.secureInbound(pair[0], expecting), mallorys.secureOutbound(pair[1], options())],
      )
      expect(results[0]).toMatchObject({
        status: 'rejected',
        reason: { code: 'unauthenticated', layer: 'security', ran: 'no', peer: other.peer },
      })
      expect(pair[0].closed).toBe(true)
    }
  })

  it('a signature over something else', async () => {
    const error = await dialled(async () =>
      encodePayload({
        publicKey: mallory.publicKey,
        signature: await mallory.sign(signedBytes(new Uint8Array(32))),
        muxers: [],
      }),
    )
    expect(error).toMatchObject({ code: 'unauthenticated', layer: 'security' })
  })

  it('another’s public key', async () => {
    const error = await dialled(async (staticKey) =>
      encodePayload({
        publicKey: alice.publicKey,
        signature: await signed(staticKey, mallory),
        muxers: [],
      }),
    )
    expect(error).toMatchObject({ code: 'unauthenticated', layer: 'security' })
  })

  it('a payload without key, without signature, with an unreadable key, or that is no protobuf', async () => {
    const payloads: ((staticKey: DhKey) => Promise<Uint8Array>)[] = [
      async () => NONE,
      async () => concat([Uint8Array.of(0x0a, 36), alice.publicKey]),
      async (staticKey) => concat([Uint8Array.of(0x12, 64), await signed(staticKey, mallory)]),
      async (staticKey) =>
        encodePayload({
          publicKey: concat([mallory.publicKey, Uint8Array.of(0x18, 0)]),
          signature: await signed(staticKey, mallory),
          muxers: [],
        }),
      async () => Uint8Array.of(0xff),
    ]
    for (const payload of payloads) {
      expect(await dialled(payload)).toMatchObject({ code: 'invalid_argument', layer: 'security' })
    }
  })

  it('a payload in the first message, where nothing protects it', async () => {
    const [a, b] = pipePair()
    const failure = alices.secureInbound(a, options()).catch((error: unknown) => error)
    b.write([framed(concat([cryptoRuntime.generateDhKey().publicKey, Uint8Array.of(1)]))])
    expect(await failure).toMatchObject({ code: 'unauthenticated' })
    expect(a.closed).toBe(true)
  })

  it('a key of all zeros', async () => {
    const [a, b] = pipePair()
    const failure = alices.secureInbound(a, options()).catch((error: unknown) => error)
    b.write([framed(new Uint8Array(32))])
    expect(await failure).toMatchObject({ code: 'unauthenticated' })
  })

  it('more bytes than `maxHandshakeBytes`, before they come, and takes exactly as many', async () => {
    const [a, b] = pipePair()
    const failure = alices
      .secureInbound(a, options({ maxHandshakeBytes: 33 }))
      .catch((e: unknown) => e)
    b.write([Uint8Array.of(0, 32)])
    expect(await failure).toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
    expect(a.closed).toBe(true)

    const sizes: number[] = []
    const measuring = pipePair()
    const count = measuring[0].write.bind(measuring[0])
    measuring[0].write = (chunks) => {
      sizes.push(...chunks.map(({ byteLength }) => byteLength))
      return count(chunks)
    }
    await secure(mallorys, alices, {}, measuring)
    const exactly = sizes.reduce((sum, size) => sum + size, 0)
    await secure(mallorys, alices, { inbound: { maxHandshakeBytes: exactly } })
    await expect(
      secure(mallorys, alices, { inbound: { maxHandshakeBytes: exactly - 1 } }),
    ).rejects.toMatchObject({ layer: 'limit' })
  })
})

describe('a Noise handshake ends with one error', () => {
  it('when the other side stops after any number of bytes', async () => {
    const [a, b] = pipePair()
    const bytes: Uint8Array[] = []
    const write = a.write.bind(a)
    a.write = (chunks) => {
      bytes.push(...chunks)
      return write(chunks)
    }
    await secure(mallorys, alices, {}, [a, b])
    const first = bytes[0] as Uint8Array
    for (let length = 0; length < first.byteLength; length++) {
      const [c, d] = pipePair()
      const failure = alices.secureInbound(d, options()).catch((error: unknown) => error)
      c.write([first.subarray(0, length)])
      c.end()
      expect(await failure).toMatchObject({ code: 'unavailable', layer: 'security' })
      expect(d.closed).toBe(true)
    }
  })

  it('when the other side stops anywhere in the third message, or changes any byte of it', async () => {
    const third = 2 + 48 + 16 + 36 + 64 + 2 + 2 + 18
    for (let i = 0; i < third; i += 5) {
      for (const cut of [true, false]) {
        const [a, b] = pipePair()
        const write = a.write.bind(a)
        let messages = 0
        a.write = (chunks) => {
          const [message] = chunks
          if (message === undefined || ++messages !== 2) return write(chunks)
          if (cut) {
            write([message.subarray(0, i)])
            a.end()
            return true
          }
          const altered = Uint8Array.from(message)
          altered[i] = (altered[i] as number) ^ 1
          write([altered])
          a.end()
          return true
        }
        const failure = alices.secureInbound(b, options()).catch((error: unknown) => error)
        await mallorys.secureOutbound(a, options()).catch(() => undefined)
        const error = await failure
        expect(error).toBeInstanceOf(P2pError)
        expect(error).toMatchObject({ layer: 'security' })
        expect(b.closed).toBe(true)
      }
    }
  })

  it('when the signal comes, at once, before it and during it', async () => {
    for (const early of [true, false]) {
      for (const side of ['secureInbound', 'secureOutbound'] as const) {
        const controller = new AbortController()
        const [a, b] = pipePair()
        const told = new Told(b)
        const reason = new Error('too slow')
        if (early) controller.abort(reason)
        const failure = alices[side](a, options({ signal: controller.signal }))
        controller.abort(reason)
        await expect(failure).rejects.toBe(reason)
        await told.closed
        expect(a.closed).toBe(true)
      }
    }
  })

  it('that holds no secret', async () => {
    const error = await dialled(async () => NONE)
    const text = inspect(error, { depth: 10, showHidden: true })
    expect(text).not.toMatch(/KeyObject|secret/i)
  })
})

describe('a Noise pipe resets', () => {
  async function broken(raw: (sealed: Uint8Array) => Uint8Array): Promise<[Told, Pipe]> {
    const [a, b] = pipePair()
    const [{ pipe }, other] = await secure(mallorys, alices, {}, [a, b])
    const told = new Told(other.pipe)
    const write = a.write.bind(a)
    a.write = (chunks) => write(chunks.map((chunk) => raw(Uint8Array.from(chunk))))
    pipe.write([Uint8Array.of(1, 2, 3)])
    await Promise.resolve()
    pipe.end()
    await told.closed
    return [told, b]
  }

  it.each<[string, (sealed: Uint8Array) => Uint8Array]>([
    ['on a changed byte', (sealed) => sealed.with(5, (sealed[5] as number) ^ 1)],
    ['on a changed tag', (sealed) => sealed.with(-1, (sealed.at(-1) as number) ^ 1)],
    ['on a changed length', (sealed) => sealed.with(1, (sealed[1] as number) - 1)],
    ['on a message of no bytes', () => Uint8Array.of(0, 0)],
    ['on a message shorter than a tag', () => framed(new Uint8Array(15))],
    ['on a message that comes twice', (sealed) => concat([sealed, sealed])],
    ['on an end inside a message', (sealed) => sealed.subarray(0, -1)],
    ['on an end inside a length', (sealed) => sealed.subarray(0, 1)],
    ['on the longest message that is junk', () => framed(new Uint8Array(65_535))],
  ])('%s, once, with both sides told', async (_, raw) => {
    const [told, below] = await broken(raw)
    expect(told.log.filter((what) => what !== 'data')).toEqual(['close'])
    expect(told.error).toMatchObject({ code: 'data_loss', layer: 'security' })
    expect(below.closed).toBe(true)
  })
})

describe('NoiseFrames', () => {
  it('holds no more than one message, however small its pieces are, and nothing for what was only announced', () => {
    const frames = new NoiseFrames()
    const before = process.memoryUsage().arrayBuffers
    frames.push(Uint8Array.of(0xff, 0xff))
    expect(frames.next()).toBeUndefined()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4096)
    const piece = Uint8Array.of(7)
    for (let i = 0; i < 65_534; i++) {
      frames.push(piece)
      expect(frames.next() === undefined).toBe(true)
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(300_000)
    frames.push(piece)
    expect(frames.next()?.byteLength).toBe(65_535)
    expect(frames.next()).toBeUndefined()
    expect(frames.cut).toBe(false)
  })
})
