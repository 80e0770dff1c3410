import { encodeUtf8, fromHex } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { CATALOG } from '../src/catalog/index.ts'
import { MAX_PREVIEW_DETAILS, MAX_PREVIEW_LINE, MAX_PREVIEW_TEXT } from '../src/limits.ts'
import { previewOf } from '../src/preview.ts'
import type { StepPreview } from '../src/preview.ts'

const KEY = 'release/app'
const COMMIT = encodeUtf8(
  'tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A U Thor <a@example.org> 1700000000 +0000\ncommitter A U Thor <a@example.org> 1700000000 +0000\n\nFix it\n\nFor good.\n',
)
/** The example of EIP-155. */
const TRANSACTION = fromHex(
  'ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080',
)

function signed(message: Uint8Array, as?: object): StepPreview {
  return previewOf('sign', { key: KEY, message, ...(as === undefined ? {} : { as }) })
}

function detail({ details }: StepPreview, name: string): string | undefined {
  return details.find((one) => one.name === name)?.value
}

describe('previewOf()', () => {
  it('shows text and namespace of an SSH signature', () => {
    const preview = signed(encodeUtf8('hello\nworld'))
    expect(preview).toMatchObject({ blind: false, title: 'sign text for file' })
    expect(detail(preview, 'text')).toBe('hello⏎world')
    expect(detail(preview, 'namespace')).toBe('file')
  })

  it('shows what is claimed of a file of which only the digest was sent, as a claim', () => {
    const claimed = { name: 'app\u202e.tgz', bytes: 100_000, sha256: 'ab'.repeat(32) }
    const as = { format: 'sshsig', namespace: 'file', digested: true }
    const preview = signed(new Uint8Array(64), { ...as, claimed })
    expect(preview.title).toBe('sign a file that only its digest was sent of, for file')
    expect(detail(preview, 'claimed name')).toBe('app\\u{202e}.tgz')
    expect(detail(preview, 'claimed size')).toBe('100,000 bytes')
    expect(detail(preview, 'claimed hash')).toBe(`SHA-256 ${'ab'.repeat(32)}`)
    expect(detail(signed(new Uint8Array(64), as), 'claimed name')).toBeUndefined()
  })

  it('shows what a commit says', () => {
    const preview = signed(COMMIT, { format: 'git' })
    expect(preview).toMatchObject({ blind: false, title: 'sign git commit "Fix it"' })
    expect(detail(preview, 'author')).toBe('A U Thor <a@example.org> 2023-11-14T22:13:20Z')
  })

  it('shows the claims of a JWT', () => {
    const claims = encodeUtf8('{"iss":"me","sub":"you","exp":1800000000,"role":"admin"}')
    const preview = signed(claims, { format: 'jws' })
    expect(preview.title).toBe('sign a JWT for you')
    expect(detail(preview, 'expires')).toBe('2027-01-15T08:00:00Z')
    expect(detail(preview, 'other claims')).toBe('role')
  })

  it('shows what a transaction would do', () => {
    const preview = signed(TRANSACTION, { format: 'ethereum', kind: 'transaction' })
    expect(preview.title).toContain('sign an Ethereum transaction of 1 ether to 0x3535')
    expect(detail(preview, 'chain')).toBe('1')
    expect(detail(preview, 'fee at most')).toBe('0.00042 ether')
  })

  it('marks what nobody can read, and what only a digest was sent of', () => {
    expect(signed(Uint8Array.of(0xff, 0, 1), { format: 'raw' })).toMatchObject({
      blind: true,
      title: 'sign bytes that nobody can read',
    })
    expect(signed(new Uint8Array(32), { format: 'digest' }).blind).toBe(true)
  })

  it('names what raw bytes are, whatever their sender calls them', () => {
    const preview = signed(TRANSACTION, { format: 'raw' })
    expect(preview.blind).toBe(true)
    expect(preview.title).toContain('sign raw bytes that are an Ethereum transaction of 1 ether')
    expect(detail(preview, 'like')).toBe('ethereum:transaction')
  })

  it('MAX_PREVIEW_DETAILS: says how much is not shown, and always which bytes they are', () => {
    const typed = (count: number): Uint8Array => {
      const names = Array.from({ length: count }, (_, index) => `n${index}`)
      const message = Object.fromEntries(names.map((name) => [name, 'x']))
      const Mail = names.map((name) => ({ name, type: 'string' }))
      const types = { EIP712Domain: [{ name: 'name', type: 'string' }], Mail }
      return encodeUtf8(
        JSON.stringify({ types, primaryType: 'Mail', domain: { name: 'd' }, message }),
      )
    }
    const as = { format: 'ethereum', kind: 'eip712' }
    // Beside the members stand the name of the domain, the length and the digest.
    const fits = signed(typed(MAX_PREVIEW_DETAILS - 3), as)
    expect(fits.details).toHaveLength(MAX_PREVIEW_DETAILS)
    expect(detail(fits, 'not shown')).toBeUndefined()
    const over = signed(typed(MAX_PREVIEW_DETAILS), as)
    expect(over.details).toHaveLength(MAX_PREVIEW_DETAILS)
    expect(detail(over, 'Mail.n27')).toBe('x')
    expect(detail(over, 'Mail.n28')).toBeUndefined()
    expect(detail(over, 'not shown')).toBe('4 more, for which there is no room')
    expect(detail(over, 'SHA-256')).toMatch(/^[0-9a-f]{64}$/)
  })

  it('escapes what would move a cursor', () => {
    const preview = signed(COMMIT.with(COMMIT.indexOf(0x46), 0x1b), { format: 'git' })
    expect(preview.title).toContain('\\u{1b}ix it')
  })

  it('says that the secret itself leaves', () => {
    const preview = previewOf('wrap', { key: 'kek', source: KEY })
    expect(detail(preview, 'leaves')).toBe('the secret itself, wrapped')
    expect(detail(preview, 'source')).toBe(KEY)
  })

  it('says something short and harmless of whatever comes', () => {
    const names = fc.constantFrom(...CATALOG.map(({ name }) => name), 'nothing')
    const formats = fc.constantFrom(
      undefined,
      { format: 'raw' },
      { format: 'jws' },
      { format: 'git' },
      { format: 'digest' },
      { format: 'sshsig', namespace: 'git' },
      { format: 'sshsig', namespace: 'x', digested: true },
      { format: 'ethereum', kind: 'eip712' },
      { format: 'ethereum', kind: 'eip191' },
      { format: 'ethereum', kind: 'transaction' },
      { format: 'unheard' },
      7,
    )
    const mutated = fc
      .tuple(fc.constantFrom(COMMIT, TRANSACTION), fc.nat(), fc.nat(255))
      .map(([bytes, at, byte]) => bytes.with(at % bytes.byteLength, byte))
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      mutated,
      fc.constant({ step: 0, output: 'x' }),
    )
    const runs = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 20_000
    fc.assert(
      fc.property(names, formats, message, fc.jsonValue(), (name, as, value, junk) => {
        const input = { key: KEY, message: value, junk, ...(as === undefined ? {} : { as }) }
        const { title, details } = previewOf(name, input)
        const pieces = [title, ...details.flatMap((one) => [one.name, one.value])]
        const isSafe =
          Array.from(title).length <= MAX_PREVIEW_LINE &&
          details.length <= MAX_PREVIEW_DETAILS &&
          pieces.every((piece) => Array.from(piece).length <= MAX_PREVIEW_TEXT) &&
          !/[\p{C}\p{Zl}\p{Zp}]/u.test(pieces.join(''))
        if (!isSafe) expect(pieces).toBe('safe')
      }),
      { numRuns: runs },
    )
  }, 60_000)
})
