import { fc, test } from '@fast-check/vitest'
import { encodeUtf8 } from '@stronghold/core'
import { afterEach, describe, expect, test as fact } from 'vitest'

import { readPem, readPublicPem, writePem } from '../../src/formats/pem.ts'
import { MAX_KEY_FILE_BYTES } from '../../src/limits.ts'
import { Slab } from '../../src/secret.ts'

const slab = new Slab({ bytes: 256 * 1024 })
afterEach(() => {
  expect(slab.used).toBe(0)
})

const FOO = '-----BEGIN FOO-----\nZm9v\n-----END FOO-----\n'
const BAR = FOO.replaceAll('FOO', 'BAR')

function read(text: string, labels?: readonly string[]): string {
  const { label, der } = readPem(encodeUtf8(text), slab, labels)
  using secret = der
  const content = `${label}: ${new TextDecoder().decode(secret.bytes)}`
  expect(readPublicPem(encodeUtf8(text), labels)).toEqual({
    label,
    der: Uint8Array.from(secret.bytes),
  })
  return content
}

describe('readPem()', () => {
  fact.each([
    ['a block', FOO],
    ['a block without a last line end', FOO.trimEnd()],
    ['a block with CR LF', FOO.replaceAll('\n', '\r\n')],
    ['a block after text', `Private-Key: (256 bit)\npriv:\n\n${FOO}`],
    ['a block before text', `${FOO}\nsomething\n`],
    ['lines of any length', FOO.replace('Zm9v', 'Z\nm9\nv')],
  ])('reads %s', (_, text) => {
    expect(read(text)).toBe('FOO: foo')
  })

  fact('picks the one block that has a label of the caller', () => {
    expect(read(BAR + FOO, ['FOO', 'BAZ'])).toBe('FOO: foo')
    expect(() => read(BAR + FOO)).toThrow('more than one')
    expect(() => read(FOO + FOO, ['FOO'])).toThrow('more than one')
    expect(() => read(FOO, ['BAR', 'BAZ'])).toThrow('Cannot read PEM: no "BAR" or "BAZ" in it')
  })

  fact.each([
    ['', 'no block in it'],
    ['nothing', 'no block in it'],
    ['-----BEGIN FOO-----\nZm9v\n', '"FOO" has no END'],
    ['-----BEGIN FOO-----\nZm9v\n-----END BAR-----\n', '"FOO" has no END of its own'],
    ['-----BEGIN FOO-----\nZm9v\n-----END FOO----\n', '"FOO" has no END of its own'],
    [`-----BEGIN FOO-----\n${FOO}`, '"FOO" has no END of its own'],
    ['-----END FOO-----\n', 'END without BEGIN'],
    ['\ufeff-----BEGIN FOO-----\nZm9v\n-----END FOO-----\n', 'END without BEGIN'],
    [FOO.replace('Zm9v', 'Zm9v '), 'Cannot read base64'],
    [FOO.replace('Zm9v', 'Zm9'), 'Cannot read base64'],
    [FOO.replace('Zm9v', 'Zm9*'), 'no base64 digit at 3'],
    [FOO.replace('Zm9v', 'Zm9v\n\nZm9v'), '"FOO" has an empty line'],
    [FOO.replace('Zm9v', 'Proc-Type: 4,ENCRYPTED\n\nZm9v'), 'type: openssl pkey -in FILE'],
  ])('refuses %j', (text, message) => {
    expect(() => read(text)).toThrow(message)
    expect(() => read(text)).toThrow(SyntaxError)
    expect(() => readPublicPem(encodeUtf8(text))).toThrow(message)
  })

  fact('a file of MAX_KEY_FILE_BYTES is read, a longer one is refused', () => {
    const most = FOO + 'x'.repeat(MAX_KEY_FILE_BYTES - FOO.length)
    expect(read(most)).toBe('FOO: foo')
    expect(() => read(`${most}x`)).toThrow(RangeError)
  })

  test.prop([fc.uint8Array({ maxLength: 300 }), fc.constantFrom(64, 70)])(
    'reads what writePem writes, in lines of that length',
    (bytes, columns) => {
      const text = writePem('SOME LABEL', bytes, columns)
      for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(columns)
      const { label, der } = readPem(encodeUtf8(text), slab)
      using secret = der
      expect(label).toBe('SOME LABEL')
      expect(Uint8Array.from(secret.bytes)).toEqual(bytes)
    },
  )
})
