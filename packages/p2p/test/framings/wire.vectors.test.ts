/** What stands on a substream, byte for byte (`wire.md §7`). */
import { equalBytes, fromHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { FRAMINGS, PEER, echo, side } from './scripted.ts'

/** A value, and the whole message in each framing. */
const VECTORS = [
  { value: 'hi', original: '04 22686922', json: '22686922', cbor: '62 6869' },
  { value: null, original: '04 6e756c6c', json: '6e756c6c', cbor: 'f6' },
  { value: 7, original: '01 37', json: '37', cbor: '07' },
  { value: [1, 2], original: '05 5b312c325d', json: '5b312c325d', cbor: '82 01 02' },
  {
    value: { a: true },
    original: '0a 7b2261223a747275657d',
    json: '7b2261223a747275657d',
    cbor: 'a1 6161 f5',
  },
] as const
const KINDS = ['original', 'json', 'cbor'] as const

test.each(KINDS.flatMap((kind) => VECTORS.map((vector) => [kind, vector] as const)))(
  'asked as %s, %j is answered in the same bytes, and the substream closes',
  async (kind, { value, ...hex }) => {
    const home = side()
    const asked = home.ask(FRAMINGS[kind])
    asked.write(hex[kind])
    // The original does not half-close before the answer; the others end the request so.
    if (kind !== 'original') asked.pipe.end()
    expect(await asked.over).toBe('end')
    expect(asked.received()).toBe(hex[kind].replaceAll(' ', ''))
    asked.pipe.end()
    expect(value).toBeDefined()
  },
)

test.each(KINDS.flatMap((kind) => VECTORS.map((vector) => [kind, vector] as const)))(
  'asking as %s, %j leaves in these bytes, and the answer is taken',
  async (kind, { value, ...hex }) => {
    const away = side()
    const remote = away.requests.client(echo, () => PEER, { as: FRAMINGS[kind] })
    const answer = kind === 'json' ? remote.read(value) : remote.value(value)
    const opened = await away.opened()
    if (kind !== 'original') await opened.over
    else await new Promise(setImmediate)
    expect(opened.received()).toBe(hex[kind].replaceAll(' ', ''))
    expect(opened.ended).toBe(kind !== 'original')
    opened.write(hex[kind])
    if (kind === 'original') {
      expect(await answer).toEqual(value)
      // It closes once it has the answer.
      expect(await opened.over).toBe('end')
    }
    opened.pipe.end()
    expect(await answer).toEqual(value)
  },
)

test('bytes are an array of numbers in JSON, a byte string in CBOR, themselves in raw', () => {
  const some = Uint8Array.of(0, 1, 255)
  const text = (message: Uint8Array): string => new TextDecoder().decode(message)
  expect(text(FRAMINGS.json.format.pack(some, true))).toBe('[0,1,255]')
  expect(text(FRAMINGS.json.format.pack({ some }, false))).toBe('{"some":[0,1,255]}')
  expect(text(FRAMINGS.json.format.pack({ some: Buffer.from(some) }, false))).toBe(
    '{"some":[0,1,255]}',
  )
  expect(FRAMINGS.cbor.format.pack(some, true)).toEqual(fromHex('430001ff'))
  expect(FRAMINGS.raw.format.pack(some, true)).toBe(some)
  const limits = { maxMessageBytes: 99, maxNesting: 9, maxMessageValues: 99 }
  const read = (kind: 'json' | 'cbor', message: Uint8Array): unknown =>
    FRAMINGS[kind].format.read(message, true, limits)
  expect(read('json', new TextEncoder().encode(' [ 0 , 1 , 255 ] '))).toEqual(some)
  expect(read('cbor', fromHex('430001ff'))).toEqual(some)
  expect(read('cbor', fromHex('83000118ff'))).toEqual(some)
  for (const bad of ['[256]', '[-1]', '[1.5]', '["1"]', '[[1]]', '{}', '"AA=="', '1']) {
    expect(() => read('json', new TextEncoder().encode(bad))).toThrow()
  }
  expect(() => read('cbor', fromHex('81190100'))).toThrow()
})

test('what others write in CBOR is read: any order of keys, indefinite lengths; not a key twice, no tag', () => {
  const limits = { maxMessageBytes: 99, maxNesting: 9, maxMessageValues: 99 }
  const read = (hex: string): unknown => FRAMINGS.cbor.format.read(fromHex(hex), false, limits)
  expect(read('a2616201616102')).toEqual({ b: 1, a: 2 })
  expect(read('9f0102ff')).toEqual([1, 2])
  expect(read('bf616101ff')).toEqual({ a: 1 })
  for (const bad of [
    'a2616101616102',
    'c100',
    '1800',
    '8201',
    '0000',
    '',
    'ff',
    '9f',
    '5f4101ff',
    '1c',
  ]) {
    expect(() => read(bad)).toThrow()
  }
})

test('raw bytes go as they are, also none', async () => {
  for (const hex of ['', '00ff', '61'.repeat(70_000)]) {
    const home = side()
    const asked = home.ask(FRAMINGS.raw)
    asked.write(hex)
    asked.pipe.end()
    expect(await asked.over).toBe('end')
    expect(equalBytes(fromHex(asked.received()), fromHex(hex))).toBe(true)
  }
})

test('a request in pieces is a request', async () => {
  for (const [framing, hex] of [
    [FRAMINGS.original, '04 22 68 69 22'],
    [FRAMINGS.original, '8201 22' + ' 61'.repeat(128) + ' 22'],
    [FRAMINGS.json, '22 68 69 22'],
  ] as const) {
    const asked = side().ask(framing)
    for (const byte of hex.split(' ').flatMap((part) => part.match(/../g) ?? [])) {
      asked.write(byte)
      await Promise.resolve()
    }
    if (!framing.prefixed) asked.pipe.end()
    expect(await asked.over).toBe('end')
    expect(asked.received()).toBe(hex.replaceAll(' ', ''))
  }
})
