import { fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, it } from 'vitest'

import { XXHandshake } from '../../src/connection/noise-handshake.ts'
import { cryptoRuntime as browser } from '../../src/runtime/browser-crypto.ts'
import { cryptoRuntime as node } from '../../src/runtime/node-crypto.ts'
import type { CryptoRuntime } from '../../src/runtime/crypto.ts'

interface NoiseVector {
  init_prologue: string
  init_static: string
  init_ephemeral: string
  resp_prologue: string
  resp_static: string
  resp_ephemeral: string
  handshake_hash: string
  messages: { payload: string; ciphertext: string }[]
}

const RUNTIMES = { node, browser }

function side(crypto: CryptoRuntime, vector: NoiseVector, initiator: boolean): XXHandshake {
  const of = initiator ? 'init' : 'resp'
  return new XXHandshake({
    crypto,
    createAead: crypto.createAead,
    initiator,
    prologue: fromHex(vector[`${of}_prologue`]),
    staticKey: crypto.importDhKey(fromHex(vector[`${of}_static`])),
    ephemeralKey: crypto.importDhKey(fromHex(vector[`${of}_ephemeral`])),
  })
}

describe.each(Object.entries(RUNTIMES))('on the %s runtime', (_, crypto) => {
  describe.each(['noise-xx-cacophony', 'noise-xx-noise-c-basic'])('libp2p/%s.json', (name) => {
    const file = publishedVectors(`libp2p/${name}.json`) as { vectors: NoiseVector[] } | undefined

    it.skipIf(file === undefined)('every message and the handshake hash', () => {
      for (const vector of file?.vectors ?? []) {
        const [initiator, responder] = [side(crypto, vector, true), side(crypto, vector, false)]
        vector.messages.slice(0, 3).forEach(({ payload, ciphertext }, turn) => {
          const [from, to] = turn % 2 === 0 ? [initiator, responder] : [responder, initiator]
          const message = from.write(fromHex(payload))
          expect(toHex(message)).toBe(ciphertext)
          expect(toHex(to.read(message))).toBe(payload)
        })
        const [one, other] = [initiator.split(), responder.split()]
        expect(toHex(one.handshakeHash)).toBe(vector.handshake_hash)
        expect(toHex(other.handshakeHash)).toBe(vector.handshake_hash)
        vector.messages.slice(3).forEach(({ payload, ciphertext }, i) => {
          const [from, to] = i % 2 === 0 ? [other, one] : [one, other]
          const sealed = new Uint8Array(payload.length / 2 + 16)
          from.outbound.seal([fromHex(payload)], sealed)
          expect(toHex(sealed)).toBe(ciphertext)
          expect(toHex(to.inbound.open(fromHex(ciphertext)))).toBe(payload)
        })
      }
    })
  })
})

describe('libp2p/webrtc-noise-prologue.json', () => {
  const vector = publishedVectors('libp2p/webrtc-noise-prologue.json') as
    | { client_fingerprint_sha256: string; server_fingerprint_sha256: string; prologue_hex: string }
    | undefined

  it.skipIf(vector === undefined)('the prologue binds both fingerprints', () => {
    if (vector === undefined) return
    const text = toHex(new TextEncoder().encode('libp2p-webrtc-noise:'))
    const { client_fingerprint_sha256: client, server_fingerprint_sha256: server } = vector
    expect(`${text}1220${client}1220${server}`).toBe(vector.prologue_hex)
    const start = (initiator: boolean, prologue: string): XXHandshake =>
      new XXHandshake({
        crypto: node,
        createAead: node.createAead,
        initiator,
        prologue: fromHex(prologue),
        staticKey: node.generateDhKey(),
        ephemeralKey: node.generateDhKey(),
      })
    const shake = (other: string): void => {
      const [initiator, responder] = [start(true, vector.prologue_hex), start(false, other)]
      responder.read(initiator.write(new Uint8Array(0)))
      initiator.read(responder.write(new Uint8Array(0)))
    }
    shake(vector.prologue_hex)
    expect(() => {
      shake(vector.prologue_hex.replace(/.$/, '0'))
    }).toThrow('not authentic')
  })
})
