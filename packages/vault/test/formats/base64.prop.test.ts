import { fc, test } from '@fast-check/vitest'
import { encodeUtf8 } from '@stronghold/core'
import { describe, expect, test as fact } from 'vitest'

import {
  base64Length,
  decodeBase64,
  decodedBase64Length,
  encodeBase64,
  encodeBase64Into,
} from '../../src/formats/base64.ts'
import type { Base64Form } from '../../src/formats/base64.ts'

const FORMS: readonly Base64Form[] = ['padded', 'unpadded', 'url']

/** The runtime's own base64, as the reference. */
function reference(bytes: Uint8Array, form: Base64Form): string {
  const text = Buffer.from(bytes).toString(form === 'url' ? 'base64url' : 'base64')
  return form === 'unpadded' ? text.replaceAll('=', '') : text
}

function decode(text: string | Uint8Array, form?: Base64Form): Uint8Array {
  const bytes = typeof text === 'string' ? encodeUtf8(text) : text
  const out = new Uint8Array(decodedBase64Length(bytes, form))
  expect(decodeBase64(bytes, out, form)).toBe(out.byteLength)
  return out
}

describe.each(FORMS)('%s base64', (form) => {
  test.prop([fc.uint8Array({ maxLength: 100 })])(
    'is what the runtime writes, and back',
    (bytes) => {
      const text = encodeBase64(bytes, form)
      expect(text).toBe(reference(bytes, form))
      expect(text.length).toBe(base64Length(bytes.byteLength, form))
      expect(decode(text, form)).toEqual(bytes)
    },
  )

  fact('every byte is a digit exactly where the runtime takes it for one', () => {
    const digits = encodeUtf8(
      reference(
        Uint8Array.from({ length: 48 }, (_, i) => i * 5),
        form,
      ),
    )
    const alphabet = new Set<number>(
      encodeUtf8(
        `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${form === 'url' ? '-_' : '+/'}`,
      ),
    )
    for (let code = 0; code < 256; code++) {
      const text = Uint8Array.from(digits)
      text[1] = code
      if (alphabet.has(code))
        expect(encodeBase64(decode(text, form), form)).toBe(String.fromCharCode(...text))
      else expect(() => decode(text, form)).toThrow('no base64 digit at 1')
    }
  })

  test.prop([fc.uint8Array({ maxLength: 12 })])(
    'what decodes at all is the one text of its bytes',
    (text) => {
      let bytes: Uint8Array
      try {
        bytes = decode(text, form)
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError)
        return
      }
      expect(encodeBase64(bytes, form)).toBe(String.fromCharCode(...text))
    },
  )
})

// RFC 4648 §10.
const VECTORS = { '': '', f: 'Zg==', fo: 'Zm8=', foo: 'Zm9v', foob: 'Zm9vYg==', fooba: 'Zm9vYmE=' }

fact.each(Object.entries(VECTORS))('RFC 4648: %j is %j', (plain, text) => {
  expect(encodeBase64(encodeUtf8(plain))).toBe(text)
  expect(decode(text)).toEqual(encodeUtf8(plain))
})

fact.each([
  ['Zg=', '3 characters are no whole bytes'],
  ['Zg', '2 characters are no whole bytes'],
  ['Zg===', '5 characters'],
  ['Z===', 'no base64 digit at 1'],
  ['====', 'no base64 digit at 0'],
  ['Zg==Zg==', 'no base64 digit at 2'],
  ['Zm9v\n', '5 characters'],
  ['Zm 9', 'no base64 digit at 2'],
  ['Zh==', 'bits left over at 1'],
  ['Zm9=', 'bits left over at 2'],
  ['Zm9-', 'no base64 digit at 3'],
])('%j is refused', (text, message) => {
  expect(() => decode(text)).toThrow(message)
})

fact.each([
  ['Zg==', 'unpadded', 'no base64 digit at 2'],
  ['Z', 'unpadded', 'no whole bytes'],
  ['Zg==', 'url', 'no base64 digit at 2'],
  ['Zm9+', 'url', 'no base64 digit at 3'],
] as const)('%j is refused as %s', (text, form, message) => {
  expect(() => decode(text, form)).toThrow(message)
})

fact('memory that is too short is refused before anything is written', () => {
  const out = new Uint8Array(2)
  expect(() => decodeBase64(encodeUtf8('Zm9v'), out)).toThrow(RangeError)
  expect(() => encodeBase64Into(encodeUtf8('f'), out)).toThrow(RangeError)
  expect(out).toEqual(new Uint8Array(2))
})
