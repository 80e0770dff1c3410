import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { escapeRemote } from '../src/text.ts'

describe('escapeRemote()', () => {
  it.each([
    ['plain text, ünïcödé 日本 🙂', 'plain text, ünïcödé 日本 🙂'],
    ['two\nlines\r\n', 'two⏎lines⏎⏎'],
    ['a\tb\u00a0c', 'a b c'],
    ['\u001b[31mred', '\\u{1b}[31mred'],
    ['abc\u202eexe.txt', 'abc\\u{202e}exe.txt'],
    ['zero\u200bwidth', 'zero\\u{200b}width'],
    ['\ud800', '\\u{d800}'],
    ['e\u0301\u0301\u0301\u0301', 'e\u0301\u0301'],
    ['', ''],
  ])('shows %j as %j', (text, shown) => {
    expect(escapeRemote(text, 64)).toBe(shown)
  })

  it('cuts at the limit, and not before', () => {
    expect(escapeRemote('abcd', 4)).toBe('abcd')
    expect(escapeRemote('abcde', 4)).toBe('abc…')
    expect(escapeRemote('ab\u0007', 4)).toBe('ab\\…')
  })

  it('never shows a character that does anything, and never too many', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, max) => {
        const shown = escapeRemote(text, max)
        expect(Array.from(shown).length).toBeLessThanOrEqual(max)
        expect(shown).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
      }),
      { numRuns: 2000 },
    )
  })
})
