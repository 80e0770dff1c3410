import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { escapeRemote } from '../src/text.ts'

/** Character by character, whatever they are. */
function plainly(text: string, max: number): string {
  const shown: string[] = []
  let marks = 0
  for (const character of text) {
    marks = /^\p{M}$/u.test(character) ? marks + 1 : 0
    if (marks > 2) continue
    if (/^[\n\r]$/.test(character)) shown.push('⏎')
    else if (/^[\p{Zs}\t]$/u.test(character)) shown.push(' ')
    else if (/^[\p{C}\p{Zl}\p{Zp}]$/u.test(character)) {
      shown.push(...Array.from(`\\u{${character.codePointAt(0)?.toString(16)}}`))
    } else shown.push(character)
  }
  return shown.length <= max ? shown.join('') : `${shown.slice(0, max - 1).join('')}…`
}

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

  it('shows of text in any script what it shows character by character', () => {
    const written = fc.constantFrom('a', ' ', '~', 'ü', '日', '本', 'ß', '€', '🙂', '𝔸', '٣', '—')
    const other = fc.constantFrom('\u0301', '\u00a0', '\u200b', '\u202e', '\ud800', '\n', '\u2028')
    const character = fc.oneof({ weight: 12, arbitrary: written }, other)
    let whole = 0
    fc.assert(
      fc.property(
        fc.oneof(fc.array(written, { maxLength: 12 }), fc.array(character, { maxLength: 12 })),
        fc.integer({ min: 1, max: 12 }),
        (characters, max) => {
          const text = characters.join('')
          const shown = escapeRemote(text, max)
          if (shown === text) whole++
          expect(shown).toBe(plainly(text, max))
        },
      ),
      { numRuns: 3000 },
    )
    expect(whole).toBeGreaterThan(300)
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
