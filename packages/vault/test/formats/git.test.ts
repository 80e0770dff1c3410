import { encodeUtf8 } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { readGitObject } from '../../src/formats/git.ts'

const ID = '0123456789abcdef0123456789abcdef01234567'
const LONG_ID = `${ID}0123456789abcdef01234567`
const WHO = 'Some One <me@example.org> 1700000000 +0200'
const COMMIT = `tree ${ID}\nparent ${ID}\nparent ${ID}\nauthor ${WHO}\ncommitter ${WHO}\n\nA message\n`
const TAG = `object ${ID}\ntype commit\ntag v1.0\ntagger ${WHO}\n\nA message\n`
const PERSON = {
  name: 'Some One',
  email: 'me@example.org',
  timeSeconds: 1_700_000_000,
  zone: '+0200',
}

const read = (text: string): unknown => readGitObject(encodeUtf8(text))

describe('readGitObject()', () => {
  test('reads a commit', () => {
    expect(read(COMMIT)).toEqual({
      kind: 'commit',
      tree: ID,
      parents: [ID, ID],
      author: PERSON,
      committer: PERSON,
      message: 'A message\n',
      others: [],
    })
  })

  test('reads a tag, also one of nobody', () => {
    const tag = { kind: 'tag', object: ID, type: 'commit', name: 'v1.0', message: 'A message\n' }
    expect(read(TAG)).toEqual({ ...tag, tagger: PERSON })
    expect(read(TAG.replace(`tagger ${WHO}\n`, ''))).toEqual(tag)
  })

  test('reads names of SHA-256, an empty message, and an empty name', () => {
    expect(read(COMMIT.replaceAll(ID, LONG_ID))).toMatchObject({ tree: LONG_ID })
    expect(read(COMMIT.replace('A message\n', ''))).toMatchObject({ message: '' })
    expect(read(COMMIT.replaceAll('Some One <', '<'))).toMatchObject({ author: { name: '' } })
  })

  test('names further headers, with their continuation passed over', () => {
    const more = `mergetag object ${ID}\n type commit\n \n parent x\nencoding utf-8\n`
    expect(read(COMMIT.replace('\n\n', `\n${more}\n`))).toMatchObject({
      parents: [ID, ID],
      others: ['mergetag', 'encoding'],
    })
  })

  test.each([
    ['nothing', ''],
    ['no message', COMMIT.replace('\n\nA message\n', '\n')],
    ['a name of an object in upper case', COMMIT.replace(ID, ID.toUpperCase())],
    ['a tree twice', COMMIT.replace('\n\n', `\ntree ${ID}\n\n`)],
    ['a parent behind the committer', COMMIT.replace('\n\n', `\nparent ${ID}\n\n`)],
    [
      'another order',
      COMMIT.replace('author', 'x').replace('committer', 'author').replace('x ', 'committer '),
    ],
    ['no author', COMMIT.replace(`author ${WHO}\n`, '')],
    ['a person without a time', COMMIT.replace(' 1700000000 +0200', '')],
    ['a person with two addresses', COMMIT.replace('<me', '<a> <me')],
    ['a signature', COMMIT.replace('\n\n', '\ngpgsig x\n\n')],
    ['a signature of SHA-256', COMMIT.replace('\n\n', '\ngpgsig-sha256 x\n\n')],
    ['another encoding', COMMIT.replace('\n\n', '\nencoding ISO-8859-1\n\n')],
    ['a header without a value', COMMIT.replace('\n\n', '\nx\n\n')],
    ['a tag of no known type', TAG.replace('type commit', 'type thing')],
    ['a tag without a name', TAG.replace('v1.0', '')],
    ['a tag with more headers', TAG.replace('\n\n', '\nx y\n\n')],
    ['a tag with a signature', `${TAG}-----BEGIN SSH SIGNATURE-----\n`],
  ])('%s is refused', (_, text) => {
    expect(() => read(text)).toThrow(SyntaxError)
  })

  test('text that is not UTF-8 is refused', () => {
    expect(() => readGitObject(Uint8Array.from([...encodeUtf8(COMMIT), 0xff]))).toThrow(SyntaxError)
  })
})
