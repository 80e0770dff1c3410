import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { noise as stockNoise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tls as stockTls } from '@libp2p/tls'
import { multiaddrConnectionPair } from '@libp2p/utils'
import { concat } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { noise, tls } from '../../src/connection/encrypters.ts'
import { createNoise } from '../../src/connection/noise.ts'
import { pipeOf } from '../../src/connection/message-stream.ts'
import { createTls } from '../../src/connection/tls.ts'
import { openIdentity } from '../../src/open-identity.ts'
import { parsePeerId } from '../../src/identity.ts'
import type {
  ConnectionEncrypter,
  MessageStream,
  PrivateKey,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'

import { Told, options } from './secured.ts'

const YAMUX = '/yamux/1.0.0'
type KeyType = 'Ed25519' | 'secp256k1' | 'RSA'

function upgraderWith(muxers: readonly string[]): Upgrader {
  const factories = new Map(
    muxers.map((protocol) => [protocol, { protocol } as StreamMuxerFactory]),
  )
  return { getStreamMuxers: () => factories } as Upgrader
}

function componentsOf(privateKey: PrivateKey, muxers: readonly string[] = [YAMUX]) {
  return {
    privateKey,
    peerId: peerIdFromPrivateKey(privateKey),
    logger: defaultLogger(),
    upgrader: upgraderWith(muxers),
  }
}

async function received(stream: MessageStream, bytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let total = 0
  return new Promise((resolve) => {
    stream.addEventListener('message', (event) => {
      const data = event.data.subarray()
      chunks.push(data)
      total += data.byteLength
      if (total >= bytes) resolve(concat(chunks))
    })
  })
}

async function shake(
  dialer: ConnectionEncrypter,
  listener: ConnectionEncrypter,
  late?: ConnectionEncrypter,
): Promise<[SecuredConnection, SecuredConnection]> {
  const [a, b] = multiaddrConnectionPair()
  const skip = (side: ConnectionEncrypter): { skipStreamMuxerNegotiation: boolean } => ({
    skipStreamMuxerNegotiation: side === late,
  })
  return Promise.all([
    dialer.secureOutbound(a, skip(dialer)),
    listener.secureInbound(b, skip(listener)),
  ])
}

const CHANNELS = {
  Noise: { ours: noise(), stock: stockNoise() },
  TLS: { ours: tls(), stock: stockTls() },
}

describe.each(Object.entries(CHANNELS))('%s with stock js-libp2p', (name, { ours, stock }) => {
  describe.each<KeyType>(['Ed25519', 'secp256k1', 'RSA'])('and keys of type %s', (type) => {
    it.each(['ours dials', 'theirs dials'])(
      '%s: both peers, the muxer, and data both ways',
      async (who) => {
        const [ourKey, theirKey] = await Promise.all([generateKeyPair(type), generateKeyPair(type)])
        const our = ours(componentsOf(ourKey))
        const their = stock(componentsOf(theirKey))
        const [dialer, listener] = who === 'ours dials' ? [our, their] : [their, our]
        const [a, b] = await shake(dialer, listener)
        const [ourPeer, theirPeer] = [ourKey, theirKey].map((key) =>
          peerIdFromPrivateKey(key).toString(),
        )
        const [fromDialer, fromListener] =
          who === 'ours dials' ? [theirPeer, ourPeer] : [ourPeer, theirPeer]
        expect(a.remotePeer.toString()).toBe(fromDialer)
        expect(b.remotePeer.toString()).toBe(fromListener)
        expect([a.streamMuxer?.protocol, b.streamMuxer?.protocol]).toEqual([YAMUX, YAMUX])
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const data = Uint8Array.from({ length: 200_000 }, (_, i) => i)
          const got = received(to.connection, data.byteLength)
          for (let at = 0; at < data.byteLength; at += 30_000) {
            const piece = data.subarray(at, at + 30_000)
            if (!from.connection.send(piece)) {
              await new Promise((resolve) =>
                from.connection.addEventListener('drain', resolve, { once: true }),
              )
            }
          }
          expect(Buffer.compare(await got, data)).toBe(0)
        }
        a.connection.abort(new Error('done'))
        b.connection.abort(new Error('done'))
      },
    )
  })

  it.each(['our', 'their'])('works without early muxer negotiation on %s side', async (side) => {
    const our = ours(componentsOf(await generateKeyPair('Ed25519')))
    // Stock TLS as listener goes by what its upgrader has, whatever it is told.
    const muxers = side === 'their' && name === 'TLS' ? [] : [YAMUX]
    const their = stock(componentsOf(await generateKeyPair('Ed25519'), muxers))
    for (const [dialer, listener] of [
      [our, their],
      [their, our],
    ] as const) {
      const [a, b] = await shake(dialer, listener, side === 'our' ? our : their)
      expect([a.streamMuxer, b.streamMuxer]).toEqual([undefined, undefined])
      a.connection.abort(new Error('done'))
      b.connection.abort(new Error('done'))
    }
  })
})

describe('a stock peer on our pipes', () => {
  it.each([
    ['Noise', createNoise, stockNoise()],
    ['TLS', createTls, stockTls()],
  ] as const)(
    '%s: is the one that was expected, and reads what we write',
    async (_, create, stock) => {
      const key = await generateKeyPair('Ed25519')
      const security = create({ identity: await openIdentity({ generate: 'ed25519' }) })
      const [a, b] = multiaddrConnectionPair()
      const expected = parsePeerId(peerIdFromPrivateKey(key).toString())
      const [{ pipe, muxer }, their] = await Promise.all([
        security.secureOutbound(pipeOf(a), options({ expected })),
        stock(componentsOf(key)).secureInbound(b),
      ])
      expect(muxer).toBe(YAMUX)
      const got = received(their.connection, 3)
      const told = new Told(pipe)
      pipe.write([Uint8Array.of(1), Uint8Array.of(2, 3)])
      expect(await got).toEqual(Uint8Array.of(1, 2, 3))
      their.connection.send(Uint8Array.of(4))
      expect(await told.received(1)).toEqual(Uint8Array.of(4))
      pipe.destroy()
    },
  )
})
