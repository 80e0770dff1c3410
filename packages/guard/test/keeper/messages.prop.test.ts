import { test as property } from '@fast-check/vitest'
import { STATUS_CODES } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { frame, unframed } from '../../src/keeper/http.ts'
import {
  decodeMessage,
  DoorError,
  encodeMessage,
  errorOf,
  faultOf,
  packTurn,
  unpackTurn,
} from '../../src/keeper/messages.ts'
import type { Message } from '../../src/keeper/messages.ts'
import { MAX_KEEPER_MESSAGE_BYTES } from '../../src/limits.ts'

const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, undefined),
    fc.integer(),
    fc.string({ maxLength: 20 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 4 }),
  ),
})).value
const id = fc.nat()
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant('call' as const),
    id,
    method: fc.string(),
    args: fc.array(plain, { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('abort' as const), id }),
  fc.record({ kind: fc.constantFrom('answer' as const, 'item' as const), id, value: plain }),
)

describe('messages', () => {
  property.prop([fc.array(message, { maxLength: 8 })], { numRuns: 300 })(
    'come out as they went in, however many share a turn',
    (messages) => {
      const packed = packTurn(messages.map(encodeMessage))
      expect(unpackTurn(packed).map(decodeMessage)).toEqual(messages)
      expect(packed.buffer.byteLength).toBe(packed.byteLength)
    },
  )

  property.prop([fc.uint8Array({ maxLength: 60 })], { numRuns: 2000 })(
    'that are junk are refused and nothing else',
    (junk) => {
      for (const read of [unpackTurn, decodeMessage]) {
        try {
          read(junk)
        } catch (error) {
          expect(error instanceof SyntaxError || error instanceof RangeError).toBe(true)
        }
      }
    },
  )

  it('longer than MAX_KEEPER_MESSAGE_BYTES are refused before they are made', () => {
    const answer = (length: number): Message => ({
      kind: 'answer',
      id: 1,
      value: new Uint8Array(length),
    })
    const rest = encodeMessage(answer(0)).byteLength + 4 // the head of a byte string this long
    const most = MAX_KEEPER_MESSAGE_BYTES - rest
    expect(encodeMessage(answer(most)).byteLength).toBe(MAX_KEEPER_MESSAGE_BYTES)
    expect(() => encodeMessage(answer(most + 1))).toThrow(RangeError)
  })

  it('carry an error as code, reason, message and whether it ran, and nothing of one that nobody expected', () => {
    for (const code of STATUS_CODES) {
      const error = new VaultError(code, 'Cannot x: y', {
        reason: 'conflict',
        cause: new Error('z'),
      })
      const there = errorOf(faultOf(error))
      expect(there).toMatchObject({ code, reason: 'conflict', message: 'Cannot x: y' })
      expect(there.cause).toBeUndefined()
      expect(isVaultError(there, { code })).toBe(true)
    }
    expect(faultOf(new DoorError('not_found', 'x', 'yes'))).toMatchObject({ ran: 'yes' })
    expect(faultOf(new RangeError('Cannot x: too long'))).toMatchObject({
      code: 'invalid_argument',
    })
    expect(JSON.stringify(faultOf(new TypeError('secret')))).not.toContain('secret')
  })
})

describe('the items of a stream', () => {
  property.prop(
    [
      fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 9 })),
    ],
    { numRuns: 300 },
  )('come out as they went in, wherever they are cut', async (items, cuts) => {
    const bytes = Buffer.concat(items.map(frame))
    const chunks: Uint8Array[] = []
    for (let at = 0, i = 0; at < bytes.byteLength; i++) {
      const length = cuts[i % Math.max(cuts.length, 1)] ?? 7
      chunks.push(bytes.subarray(at, at + length))
      at += length
    }
    const read: Uint8Array[] = []
    for await (const item of unframed(from(chunks), 30)) read.push(Uint8Array.from(item))
    expect(read).toEqual(items)
  })

  it('that say they are too long, or are cut off, are refused', async () => {
    const next = async (chunks: Uint8Array[]): Promise<unknown> =>
      await unframed(from(chunks), 30).next()
    await expect(next([frame(new Uint8Array(31)).subarray(0, 4)])).rejects.toThrow(RangeError)
    await expect(next([frame(new Uint8Array(30)).subarray(0, 33)])).rejects.toThrow(SyntaxError)
  })
})

async function* from(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}
