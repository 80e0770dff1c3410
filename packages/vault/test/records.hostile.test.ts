import { encode, encodeUtf8, equalBytes } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import {
  decodeOpenHeader,
  decodeSealedHeader,
  encodeOpenHeader,
  encodeSealedHeader,
} from '../src/header.ts'
import { DEFAULT_LIMITS } from '../src/limits.ts'
import { decrypting, encrypting } from '../src/procedures/encryption.ts'
import type { Scope } from '../src/procedures/registry.ts'
import {
  ALL_LABELS,
  decodeRecord,
  decodeTombstone,
  encodeRecord,
  encodeTombstone,
  LabelPool,
} from '../src/record.ts'
import type { StoredRecord } from '../src/record.ts'
import { encrypt } from '../src/catalog/index.ts'
import { feed, FEWER, INPUTS } from './formats/_hostile.ts'
import { openHeader } from './vault-of.ts'

const TIMEOUT = { timeout: INPUTS }
const ID = '0123456789abcdef0123456789abcdef'
const RECORD: StoredRecord = {
  id: ID,
  path: 'release/app',
  type: 'p256',
  labels: ALL_LABELS,
  origin: 'derived',
  from: [ID],
  createdAtMs: 1_700_000_000_000,
  changedAtMs: 1_700_000_000_001,
  minimum: 1,
  versions: [1, 2].map((number) => ({
    number,
    createdAtMs: 1_700_000_000_000,
    epoch: 1,
    here: true,
    publicText: 'x'.repeat(65),
    length: 32,
  })),
}

/** What is read is what is written: there is one form of each. */
function same(written: Uint8Array, input: Uint8Array): void {
  if (!equalBytes(written, input)) expect.fail('two forms of one value')
}

describe(`malformed inputs, ${INPUTS} or ${FEWER} each, neither crash nor stay in memory`, () => {
  test('the readable half of a header', TIMEOUT, async () => {
    const read = await feed([openHeader()], (input) => {
      same(encodeOpenHeader(decodeOpenHeader(input)), input)
    })
    expect(read).toBeGreaterThan(1000)
  })

  test('the sealed half of a header', TIMEOUT, async () => {
    const sample = encode({
      epoch: 0,
      generation: 300,
      rows: 70_000,
      sum: new Uint8Array(32),
      auditHead: new Uint8Array(32),
      auditLength: 9,
      highestTimeMs: 1_700_000_000_000,
      createdAtMs: 1_700_000_000_000,
      plain: new Uint8Array(32),
    })
    const read = await feed(
      [sample],
      (input) => {
        same(encodeSealedHeader(decodeSealedHeader(input)), input)
      },
      { inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test('records', TIMEOUT, async () => {
    const pool = new LabelPool()
    const samples = [encodeRecord(RECORD), encodeRecord({ ...RECORD, from: [] })]
    const read = await feed(samples, (input) => decodeRecord(input, pool), {
      refusals: ['VaultError'],
    })
    expect(read).toBeGreaterThan(1000)
  })

  test('tombstones', TIMEOUT, async () => {
    const removed = { path: 'release/app', removedAtMs: 1_700_000_000_000, version: 2 }
    const samples = [encodeTombstone(removed), encodeTombstone({ ...removed, last: ID })]
    const read = await feed(
      samples,
      (input) => {
        same(encodeTombstone(decodeTombstone(input)), input)
      },
      { refusals: ['VaultError'], inputs: FEWER },
    )
    expect(read).toBeGreaterThan(1000)
  })

  test.each(['xchacha20-poly1305', 'aes-256-gcm'] as const)(
    'envelopes of %s',
    TIMEOUT,
    async (type) => {
      const message = encodeUtf8('a message')
      const key = {
        id: new Uint8Array(16).fill(3),
        type,
        version: 1,
        labels: ALL_LABELS,
        publicKey: undefined,
        secret: () => KEY,
        expanded: () => KEY,
        countNonce: () => undefined,
      }
      const { envelope } = encrypting({ key: WHICH, message }, { key }, SCOPE)
      const read = await feed(
        [envelope],
        (input) => {
          const opened = decrypting({ key: WHICH, envelope: input }, { key }, SCOPE).message
          same(opened, message)
          same(input, envelope)
        },
        { refusals: ['VaultError'], inputs: type === 'aes-256-gcm' ? FEWER : INPUTS },
      )
      expect(read).toBeGreaterThan(1000)
    },
  )
})

/** What the input names; here the handle is given. */
const WHICH = encrypt.input.shape.key.parse('a')
const KEY = new Uint8Array(32).fill(7)
const SCOPE: Scope = {
  scratch: (length) => new Uint8Array(length),
  random: (out) => out.fill(9),
  limits: DEFAULT_LIMITS,
  compactLater: () => undefined,
}
