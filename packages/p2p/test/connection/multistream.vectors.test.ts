import { publishedVectors } from '@stronghold/testkit'
import { describe, expect, test } from 'vitest'

import { encodeMessage, MessageDecoder } from '../../src/connection/multistream.ts'

const messages = publishedVectors('libp2p/multistream-messages.json') as
  { messages: Record<string, string> } | undefined
const varints = publishedVectors('libp2p/unsigned-varint.json') as
  { vectors: [number, string][]; must_reject_hex: string[]; max_bytes: number } | undefined

describe('libp2p/multistream-messages.json', () => {
  test.skipIf(messages === undefined)('every message encodes to its bytes', () => {
    for (const [text, hex] of Object.entries(messages?.messages ?? {})) {
      expect(Buffer.from(encodeMessage(text)).toString('hex')).toBe(hex)
    }
  })

  test.skipIf(messages === undefined)('every message decodes, whole and byte by byte', () => {
    for (const [text, hex] of Object.entries(messages?.messages ?? {})) {
      const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
      const whole = new MessageDecoder(1024)
      expect(whole.feed(bytes)).toEqual({ kind: 'message', text, used: bytes.byteLength })
      const slow = new MessageDecoder(1024)
      for (const byte of bytes.subarray(0, -1)) {
        expect(slow.feed(Uint8Array.of(byte))).toEqual({ kind: 'more' })
      }
      expect(slow.feed(bytes.subarray(-1))).toEqual({ kind: 'message', text, used: 1 })
    }
  })
})

describe('libp2p/unsigned-varint.json', () => {
  test.skipIf(varints === undefined)('every length is read as the vectors say', () => {
    for (const [value, hex] of varints?.vectors ?? []) {
      const line = new Uint8Array(value).fill(0x61)
      line[value - 1] = 0x0a
      const bytes = Uint8Array.from([...Buffer.from(hex, 'hex'), ...line])
      const text = 'a'.repeat(value - 1)
      expect(new MessageDecoder(value).feed(bytes)).toEqual({
        kind: 'message',
        text,
        used: bytes.byteLength,
      })
      expect(Buffer.from(encodeMessage(text)).equals(bytes)).toBe(true)
    }
  })

  test.skipIf(varints === undefined)('lengths that must be refused are refused', () => {
    for (const line of varints?.must_reject_hex ?? []) {
      const bytes = Uint8Array.from(Buffer.from(line.split(' ')[0] ?? '', 'hex'))
      expect(new MessageDecoder(1024).feed(bytes).kind).toBe('malformed')
    }
    const tooLong = new Uint8Array((varints?.max_bytes ?? 9) + 1).fill(0x80)
    expect(new MessageDecoder(1024).feed(tooLong).kind).toBe('malformed')
  })
})
