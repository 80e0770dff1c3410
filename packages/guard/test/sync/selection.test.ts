/** Which paths two sides compare, and where they stand. */
import { describe, expect, it } from 'vitest'

import { flowOf, mappedFrom, Selection } from '../../src/sync/selection.ts'

describe('a selection', () => {
  it('is what both sides select', () => {
    const selection = new Selection(['a/**', 'b/*'], ['a/x/**', 'b/**'])
    expect(selection.there('a/x/1')).toBe('a/x/1')
    expect(selection.there('a/y')).toBeUndefined()
    expect(selection.there('b/1')).toBe('b/1')
    expect(selection.here('b/1/2')).toBeUndefined()
    expect(selection.here('no path //')).toBeUndefined()
  })

  it('puts what stands below one path below another, the longest first, and back', () => {
    const maps = mappedFrom(
      [
        { from: 'home', to: 'backup/laptop' },
        { from: 'home/work', to: 'work' },
      ],
      'push',
    )
    const selection = new Selection(['**'], ['**'], maps)
    expect(selection.there('home/a')).toBe('backup/laptop/a')
    expect(selection.there('home/work/b')).toBe('work/b')
    expect(selection.here('work/b')).toBe('home/work/b')
    expect(selection.there('other/c')).toBe('other/c')
    // The mapped one has this place.
    expect(selection.there('backup/laptop/a')).toBeUndefined()
    expect(selection.there('homeless/d')).toBe('homeless/d')
  })

  it('is turned around for who pulls', () => {
    const maps = mappedFrom([{ from: 'theirs', to: 'mine' }], 'pull')
    const selection = new Selection(['mine/**'], ['**'], maps)
    expect(selection.here('theirs/a')).toBe('mine/a')
    expect(selection.there('mine/a')).toBe('theirs/a')
  })
})

describe('what flows', () => {
  const of = (asker: string, answerer: string, merge = ['newest-version', 'newest-version']) =>
    flowOf(
      { mode: asker, merge: merge[0] } as Parameters<typeof flowOf>[0],
      { mode: answerer, merge: merge[1] } as Parameters<typeof flowOf>[1],
    )

  it('is what both modes let pass', () => {
    const told = (asker: string, answerer: string): string => {
      const { here, there } = of(asker, answerer)
      return `${there ? '>' : ''}${here ? '<' : ''}`
    }
    expect(told('two-way', 'two-way')).toBe('><')
    expect(told('push', 'two-way')).toBe('>')
    expect(told('push', 'pull')).toBe('>')
    expect(told('push', 'push')).toBe('')
    expect(told('pull', 'push')).toBe('<')
    expect(told('pull', 'pull')).toBe('')
    expect(told('two-way', 'push')).toBe('<')
    expect(told('two-way', 'pull')).toBe('>')
  })

  it('is merged as the more careful side wishes, and replaced one way only', () => {
    expect(of('push', 'pull', ['replace', 'replace']).merge).toBe('replace')
    expect(of('push', 'pull', ['replace', 'keep-old']).merge).toBe('keep-old')
    expect(of('push', 'pull', ['replace', 'newest-version']).merge).toBe('newest-version')
    expect(of('two-way', 'two-way', ['replace', 'replace']).merge).toBe('newest-version')
  })
})
