import { fromHex, toHex } from '@stronghold/core'
import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import {
  decodeHeader,
  encodeHeader,
  FLAG,
  GO_AWAY,
  TYPE,
} from '../../src/connection/yamux-frame.ts'
import type { YamuxHeader } from '../../src/connection/yamux-frame.ts'

const published = publishedVectors('libp2p/yamux-headers.json') as
  { frames: Record<string, string> } | undefined

const EXPECTED: Record<string, Partial<YamuxHeader>> = {
  'SYN window update stream 1 delta 0': { type: TYPE.windowUpdate, flags: FLAG.syn, streamId: 1 },
  'ACK window update stream 1 delta 0': { type: TYPE.windowUpdate, flags: FLAG.ack, streamId: 1 },
  'data stream 1 len 5': { type: TYPE.data, streamId: 1, length: 5 },
  'FIN data stream 1': { type: TYPE.data, flags: FLAG.fin, streamId: 1 },
  'FIN window update stream 1': { type: TYPE.windowUpdate, flags: FLAG.fin, streamId: 1 },
  'RST window update stream 1': { type: TYPE.windowUpdate, flags: FLAG.rst, streamId: 1 },
  'ping SYN opaque 0xdeadbeef': { type: TYPE.ping, flags: FLAG.syn, length: 0xdeadbeef },
  'ping ACK opaque 0xdeadbeef': { type: TYPE.ping, flags: FLAG.ack, length: 0xdeadbeef },
  'go away normal': { type: TYPE.goAway, length: GO_AWAY.normal },
  'go away protocol error': { type: TYPE.goAway, length: GO_AWAY.protocolError },
  'go away internal error': { type: TYPE.goAway, length: GO_AWAY.internalError },
}

describe.skipIf(published === undefined)('published Yamux headers', () => {
  test.each(Object.entries(published?.frames ?? {}))('%s', (name, hex) => {
    const expected = EXPECTED[name]
    expect(expected, 'this vector has no expectation').toBeDefined()
    const header = { version: 0, type: 0, flags: 0, streamId: 0, length: 0, ...expected }
    expect(decodeHeader(fromHex(hex))).toEqual(header)
    expect(toHex(encodeHeader(header))).toBe(hex)
  })
})

test('a header is read wherever it stands, and not from fewer than 12 bytes', () => {
  const bytes = fromHex('ffff0102000304050607fffffffe')
  expect(decodeHeader(bytes, 2)).toEqual({
    version: 1,
    type: 2,
    flags: 3,
    streamId: 0x04050607,
    length: 0xfffffffe,
  })
  expect(() => decodeHeader(bytes, 3)).toThrow(RangeError)
})
