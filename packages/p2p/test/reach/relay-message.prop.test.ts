/** Hop and stop messages and vouchers: what is written is read, and nothing else does more than be refused. */
import { fc, test } from '@fast-check/vitest'
import { beforeAll, expect, test as fact } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import type { PeerId } from '../../src/identity.ts'
import { openIdentity } from '../../src/open-identity.ts'
import type { Identity } from '../../src/open-identity.ts'
import { bytesField, varintField } from '../../src/protobuf.ts'
import { PEER_RECORD, sealEnvelope } from '../../src/peer-record.ts'
import {
  decodeHop,
  decodeStop,
  encodeHop,
  encodeStop,
  openVoucher,
  sealVoucher,
  STATUS,
  statusName,
  VOUCHER,
} from '../../src/reach/relay-message.ts'
import type { HopMessage, StopMessage } from '../../src/reach/relay-message.ts'
import { INPUTS, refusalsOf } from './malformed.ts'

let relay: Identity
let other: Identity
beforeAll(async () => {
  relay = await openIdentity({ generate: 'ed25519' })
  other = await openIdentity({ generate: 'secp256k1' })
})

const PEERS = [
  '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN',
  'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
] as PeerId[]
const peer = fc.constantFrom(...PEERS)
const seconds = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const limit = fc.record({
  durationMs: fc.option(
    seconds.map((s) => s * 1000),
    { nil: undefined },
  ),
  bytes: fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), { nil: undefined }),
})
const reservation = fc.record({
  expiresAtMs: seconds.map((s) => s * 1000),
  addresses: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
  voucher: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }),
})
const hop: fc.Arbitrary<HopMessage> = fc.oneof(
  fc.constant({ type: 'reserve' as const }),
  fc.record({ type: fc.constant('connect' as const), peer }),
  fc.record(
    { type: fc.constant('status' as const), status: fc.nat(1000), reservation, limit },
    { requiredKeys: ['type', 'status'] },
  ),
)
const stop: fc.Arbitrary<StopMessage> = fc.oneof(
  fc.record(
    { type: fc.constant('connect' as const), peer, limit },
    { requiredKeys: ['type', 'peer'] },
  ),
  fc.record({ type: fc.constant('status' as const), status: fc.nat(1000) }),
)

test.prop([hop, stop])('what is encoded is decoded', (hopMessage, stopMessage) => {
  expect(decodeHop(encodeHop(hopMessage))).toEqual(hopMessage)
  expect(decodeStop(encodeStop(stopMessage))).toEqual(stopMessage)
})

fact('the bytes are those of the specification', () => {
  expect(encodeHop({ type: 'reserve' })).toEqual(Uint8Array.of(0x08, 0))
  expect(encodeHop({ type: 'status', status: STATUS.NO_RESERVATION })).toEqual(
    Uint8Array.of(0x08, 2, 0x28, 204, 1),
  )
  expect(encodeStop({ type: 'status', status: STATUS.OK })).toEqual(
    Uint8Array.of(0x08, 1, 0x20, 100),
  )
  const bounded = encodeHop({
    type: 'status',
    status: 100,
    limit: { durationMs: 120_000, bytes: 131_072 },
  })
  expect(bounded).toEqual(Uint8Array.of(8, 2, 0x22, 6, 8, 120, 16, 0x80, 0x80, 8, 0x28, 100))
})

fact('a limit of zero, or beyond all numbers, is none', () => {
  const status = encodeHop({ type: 'status', status: 100 })
  const zero = [...status, ...bytesField(4, Uint8Array.of(8, 0, 16, 0))]
  expect(decodeHop(Uint8Array.from(zero))).toMatchObject({
    limit: { durationMs: undefined, bytes: undefined },
  })
  const huge = [...status, ...bytesField(4, varintField(2, 2n ** 64n - 1n))]
  expect(decodeHop(Uint8Array.from(huge))).toMatchObject({ limit: { bytes: undefined } })
})

fact('statuses have their names, unknown ones their number', () => {
  expect(statusName(201)).toBe('RESOURCE_LIMIT_EXCEEDED')
  expect(statusName(7)).toBe('status 7')
})

fact(
  `${INPUTS.toLocaleString('en')} malformed messages to each parser do no more than be refused`,
  () => {
    const seeds = [
      encodeHop({ type: 'connect', peer: PEERS[0] as PeerId }),
      encodeStop({ type: 'connect', peer: PEERS[1] as PeerId, limit: { durationMs: 1, bytes: 1 } }),
      encodeHop({
        type: 'status',
        status: 100,
        reservation: {
          expiresAtMs: 1e12,
          addresses: [Uint8Array.of(4)],
          voucher: Uint8Array.of(1),
        },
      }),
    ]
    const refused = refusalsOf(decodeHop, seeds) + refusalsOf(decodeStop, seeds)
    expect(refused).toBeGreaterThan(INPUTS)
  },
)

fact('a voucher says who serves whom until when, and is refused from anybody else', async () => {
  const expiresAtMs = 1_900_000_000_000
  const voucher = { relay: relay.peer, peer: other.peer, expiresAtMs }
  const sealed = await sealVoucher(relay, voucher)
  expect(await openVoucher(sealed)).toEqual(voucher)
  await expect(openVoucher(await sealVoucher(other, voucher))).rejects.toMatchObject({
    code: 'unauthenticated',
    layer: 'relay',
  })
  const flipped = sealed.slice()
  flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1
  await expect(openVoucher(flipped)).rejects.toMatchObject({ code: 'unauthenticated' })
  const another = await sealEnvelope(relay, PEER_RECORD, new Uint8Array(0))
  await expect(openVoucher(another)).rejects.toMatchObject({ code: 'invalid_argument' })
  const empty = await sealEnvelope(relay, VOUCHER, new Uint8Array(0))
  await expect(openVoucher(empty)).rejects.toMatchObject({ code: 'invalid_argument' })
  for (let length = 0; length < sealed.byteLength; length += 7) {
    await openVoucher(sealed.subarray(0, length)).then(
      () => expect.fail('it was cut'),
      (error: unknown) => expect(isP2pError(error)).toBe(true),
    )
  }
})
