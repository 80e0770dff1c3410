import { publishedVectors } from '@stronghold/testkit'
import { fromHex, toHex } from '@stronghold/core'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test } from 'vitest'

import { openIdentity } from '../src/open-identity.ts'
import {
  decodePeerRecord,
  LEGACY_PEER_RECORD,
  openEnvelope,
  openPeerRecord,
  PEER_RECORD,
  peekPeerRecord,
  sealPeerRecord,
} from '../src/peer-record.ts'

interface Vector {
  name: string
  envelope_hex?: string
  payload_hex?: string
  private_key_protobuf_hex?: string
  domain?: string
  payload_type_utf8?: string
  payload_utf8?: string
  peer_id?: string
  seq?: string
  addresses?: string[]
  valid?: boolean
}
const file = publishedVectors('libp2p/signed-envelope.json') as { vectors: Vector[] } | undefined
const vectors = file?.vectors ?? []
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

test.skipIf(file === undefined)(
  'libp2p/signed-envelope.json: envelopes open as they should',
  async () => {
    let seen = 0
    for (const vector of vectors) {
      if (vector.domain !== 'libp2p-testing' || vector.envelope_hex === undefined) continue
      const opened = openEnvelope(fromHex(vector.envelope_hex), [
        { domain: vector.domain, payloadType: utf8('/libp2p/testdata') },
      ])
      if (vector.valid === true) {
        expect(new TextDecoder().decode((await opened).payload)).toBe(vector.payload_utf8)
      } else await expect(opened).rejects.toMatchObject({ code: 'unauthenticated' })
      seen += 1
    }
    expect(seen).toBe(2)
  },
)

test.skipIf(file === undefined)(
  'libp2p/signed-envelope.json: peer records are read and made',
  async () => {
    const signed = vectors.find((vector) => vector.private_key_protobuf_hex !== undefined)
    const envelope = fromHex(signed?.envelope_hex ?? '')
    const record = await openPeerRecord(envelope)
    expect(record.peer).toBe(signed?.peer_id)
    expect(record.seq.toString()).toBe(signed?.seq)
    expect(record.addresses.map((bytes) => multiaddr(bytes).toString())).toEqual(
      Array.from({ length: 10 }, (_, port) => `/ip4/1.2.3.4/tcp/${port.toString()}`),
    )
    expect(peekPeerRecord(envelope)).toEqual(record)
    const identity = await openIdentity(fromHex(signed?.private_key_protobuf_hex ?? ''))
    expect(toHex(await sealPeerRecord(identity, record))).toBe(signed?.envelope_hex)
  },
)

test.skipIf(file === undefined)('libp2p/signed-envelope.json: a record alone is read', () => {
  const plain = vectors.find((vector) => vector.payload_hex !== undefined)
  const record = decodePeerRecord(fromHex(plain?.payload_hex ?? ''))
  expect(record.peer).toBe(plain?.peer_id)
  expect(record.seq.toString()).toBe(plain?.seq)
  expect(record.addresses.map((bytes) => multiaddr(bytes).toString())).toEqual(plain?.addresses)
})

test('records of every kind of key verify, in both forms, and no changed byte of one does', async () => {
  for (const type of ['ed25519', 'secp256k1', 'ecdsa'] as const) {
    const identity = await openIdentity({ generate: type })
    for (const kind of [PEER_RECORD, LEGACY_PEER_RECORD]) {
      const addresses = [multiaddr('/ip4/192.0.2.1/tcp/1').bytes]
      const sealed = await sealPeerRecord(identity, { seq: 2n ** 64n - 1n, addresses }, kind)
      const record = await openPeerRecord(sealed)
      expect(record).toEqual({ peer: identity.peer, seq: 2n ** 64n - 1n, addresses })
      for (let at = 0; at < sealed.byteLength; at += 7) {
        const changed = sealed.slice()
        changed[at] = (changed[at] ?? 0) ^ 1
        await expect(openPeerRecord(changed)).rejects.toMatchObject({ name: 'P2pError' })
      }
    }
  }
})

test('a record that another peer signed is refused, as is one of another kind', async () => {
  const [one, other] = [
    await openIdentity({ generate: 'ed25519' }),
    await openIdentity({ generate: 'ed25519' }),
  ]
  const own = await sealPeerRecord(one, { seq: 1n, addresses: [] })
  const { payload } = await openEnvelope(own, [PEER_RECORD])
  const { sealEnvelope } = await import('../src/peer-record.ts')
  const forged = await sealEnvelope(other, PEER_RECORD, payload)
  await expect(openPeerRecord(forged)).rejects.toMatchObject({ code: 'unauthenticated' })
  const strange = await sealEnvelope(one, { domain: 'x', payloadType: utf8('/x') }, payload)
  await expect(openPeerRecord(strange)).rejects.toMatchObject({ code: 'invalid_argument' })
  // The payload type of one form with the domain of the other.
  const mixed = await sealEnvelope(
    one,
    { domain: LEGACY_PEER_RECORD.domain, payloadType: PEER_RECORD.payloadType },
    payload,
  )
  await expect(openPeerRecord(mixed)).rejects.toMatchObject({ code: 'unauthenticated' })
})
