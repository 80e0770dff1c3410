/** Every worked example of `docs/wire.md §8`, read and written again. */
import { readFileSync } from 'node:fs'

import { concat, fromHex, toHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import {
  decodeError,
  decodePrelude,
  encodeError,
  encodeFrame,
  encodePrelude,
  FrameParser,
  KIND_ERROR,
  KIND_HELLO,
  KIND_REQUEST,
} from '../../src/channel/frame.ts'
import type { Side } from '../../src/channel/frame.ts'

const document = readFileSync(new URL('../../../../docs/wire.md', import.meta.url), 'utf8')
const examples = [...document.matchAll(/```hex\n# (.*)\n([^`]+)```/g)].map((match) => ({
  title: match[1] ?? '',
  hex: (match[2] ?? '').replaceAll(/\s/g, ''),
}))

const HELLO = encodeFrame(KIND_HELLO, 0, 0, new Uint8Array(16))

/** The frame in its fields; a hello goes before it unless it is one. */
function parse(
  side: Side,
  bytes: Uint8Array,
): { kind: number; flags: number; number: number; body: Uint8Array } {
  const frames: { kind: number; flags: number; number: number; body: Uint8Array }[] = []
  const parser = new FrameParser(side, 65_536, (kind, flags, number, body) => {
    frames.push({ kind, flags, number, body: body.slice() })
  })
  parser.push(bytes[0] === KIND_HELLO ? bytes : concat([HELLO, bytes]))
  const last = frames.at(-1)
  if (last === undefined || parser.heldBytes > 0) throw new Error('not one whole frame')
  return last
}

function sender(kind: number): Side {
  return kind === KIND_ERROR || kind === 3 ? 'responder' : 'asker'
}

test('the document has its worked examples', () => {
  expect(examples.length).toBe(13)
})

test.each(examples)('$title', ({ hex }) => {
  const bytes = fromHex(hex)
  const { kind, flags, number, body } = parse(sender(bytes[0] ?? 0), bytes)
  let again = body
  if (kind === KIND_REQUEST) {
    const { prelude, messageAt } = decodePrelude(body)
    again = concat([encodePrelude(prelude), body.subarray(messageAt)])
    expect(new TextDecoder().decode(body.subarray(messageAt))).toBe('hi')
  }
  if (kind === KIND_ERROR) {
    const error = decodeError(body)
    expect(error).toEqual({
      code: 'permission_denied',
      ran: 'no',
      layer: 'firewall',
      reason: 'denied_by_rule',
      message: 'Cannot run sign: denied',
    })
    again = encodeError(error)
  }
  expect(toHex(encodeFrame(kind, flags, number, again))).toBe(hex)
})
