import fc from 'fast-check'
import { expect, test } from 'vitest'

import { matches, parsePath, parsePattern } from '../src/index.ts'

// Few letters, so that patterns meet paths often.
const segment = fc.string({ unit: fc.constantFrom('a', 'b', '0'), minLength: 1, maxLength: 2 })
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((all) => all.join('/'))
const pattern = fc
  .tuple(fc.array(fc.oneof(segment, fc.constant('*')), { maxLength: 4 }), fc.boolean())
  .map(([all, open]) => [...all, ...(open || all.length === 0 ? ['**'] : [])].join('/'))

/** A pattern read from left to right, by what the words say. */
function naive(pattern: string[], path: string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return path.length === 0
  if (first === '**') return path.length >= 1
  const [name, ...others] = path
  return name !== undefined && (first === '*' || first === name) && naive(rest, others)
}

test('matches() agrees with a naive matcher, and with a regular expression', () => {
  fc.assert(
    fc.property(pattern, path, (pattern, path) => {
      const answer = matches(parsePattern(pattern), parsePath(path))
      expect(answer).toBe(naive(pattern.split('/'), path.split('/')))
      const expression = pattern.replace(/\*\*$/, '.+').replace(/(^|\/)\*(?=\/|$)/g, '$1[^/]+')
      expect(answer).toBe(new RegExp(`^${expression}$`).test(path))
    }),
    { numRuns: 2000 },
  )
})

test('whatever text is given, it is a path as it stands or it is none', () => {
  const near = fc.string({
    unit: fc.constantFrom('a', '/', '*', '.', '-', 'A', '\n'),
    maxLength: 8,
  })
  const grammar = /^[a-z0-9][a-z0-9._-]{0,63}(\/[a-z0-9][a-z0-9._-]{0,63}){0,15}$/
  fc.assert(
    fc.property(fc.oneof(near, path, fc.string()), (text) => {
      let read: string | undefined
      try {
        read = parsePath(text).text
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxError)
      }
      expect(read).toBe(grammar.test(text) && !text.endsWith('\n') ? text : undefined)
    }),
    { numRuns: 2000 },
  )
})
