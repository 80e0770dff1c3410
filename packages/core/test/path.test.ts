import { describe, expect, test } from 'vitest'

import { matches, parsePath, parsePattern, Path, Pattern } from '../src/index.ts'

const LONG = 'a'.repeat(64)
const DEEP = Array.from({ length: 16 }, () => 'a').join('/')

describe('parsePath()', () => {
  test.each(['a', '0', 'keys/ci/release-2026.1_x', LONG, DEEP, Array(16).fill(LONG).join('/')])(
    'reads %j and prints it as it was',
    (text) => {
      const path = parsePath(text)
      expect([path.text, String(path), JSON.parse(JSON.stringify(path))]).toEqual([
        text,
        text,
        text,
      ])
      expect(path.segments.join('/')).toBe(text)
      expect(parsePattern(text).text).toBe(text)
      expect(matches(parsePattern(text), path)).toBe(true)
    },
  )

  test.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    '-a',
    '_a',
    'A',
    'ä',
    'a b',
    'a\n',
    'a\u0000',
    'a%2fb',
    'a\\b',
    'a*',
    '-',
    `${LONG}a`,
    `${DEEP}/a`,
    'ａ',
    'İ',
  ])('refuses %j, as a pattern too', (text) => {
    expect(() => parsePath(text)).toThrow(SyntaxError)
    expect(() => parsePattern(text)).toThrow(SyntaxError)
  })

  test.each(['*', 'a/*', '**', 'a/**'])('refuses the pattern %j', (text) => {
    expect(() => parsePath(text)).toThrow(SyntaxError)
  })

  test('names what it does not like, cut to 64 characters', () => {
    expect(() => parsePath('keys/Release')).toThrow(/^Cannot read path: "Release" is no segment/)
    expect(() => parsePath('x'.repeat(10_000))).toThrow(/^Cannot read path: "x{64}" is too long$/)
    expect(() => parsePattern('a/**/b')).toThrow(
      'Cannot read pattern: "**" is allowed as the last segment only',
    )
  })

  test('what is no text is misuse', () => {
    expect(() => parsePath(['a'] as never)).toThrow(TypeError)
  })
})

describe('parsePattern()', () => {
  test.each(['***', 'a/**/b', '**/a', 'a*', '*a', 'a/b*', `${DEEP}/**`])('refuses %j', (text) => {
    expect(() => parsePattern(text)).toThrow(SyntaxError)
  })
})

describe('matches()', () => {
  test.each([
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['a/*', 'a', false],
    ['a/*', 'a/b', true],
    ['a/*', 'a/b/c', false],
    ['*/b', 'a/b', true],
    ['*/b', 'a/c', false],
    ['**', 'a', true],
    ['**', DEEP, true],
    ['a/**', 'a', false],
    ['a/**', 'a/b', true],
    ['a/**', 'a/b/c', true],
    ['a/**', 'ab/c', false],
    ['a/*/**', 'a/b', false],
    ['a/*/**', 'a/b/c', true],
    ['a.b', 'axb', false],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(matches(parsePattern(pattern), parsePath(path))).toBe(expected)
  })
})

test('paths and patterns are frozen and cannot be forged', () => {
  const path = parsePath('a/b')
  expect(Object.isFrozen(path)).toBe(true)
  expect(Path.is(path)).toBe(true)
  expect(Pattern.is(parsePattern('a/b'))).toBe(true)
  expect([Path.is(parsePattern('a')), Pattern.is(path)]).toEqual([false, false])
  expect(Path.is({ text: 'a/b', segments: ['a', 'b'] })).toBe(false)
  expect(Path.is(Object.create(Path.prototype))).toBe(false)
  expect(Path.is(null)).toBe(false)
})
