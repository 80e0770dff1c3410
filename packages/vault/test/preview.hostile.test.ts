/** Whatever somebody asks for, what a person sees of it is bounded and moves nothing on a screen. */
import { createHash } from 'node:crypto'

import { concat, encodeUtf8 } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { CATALOG } from '../src/catalog/index.ts'
import { MAX_PREVIEW_DETAILS, MAX_PREVIEW_LINE, MAX_PREVIEW_TEXT } from '../src/limits.ts'
import { previewOf } from '../src/preview.ts'

const INPUTS = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 25_000
/** Controls, formats, direction, separators of lines, surrogates, private and unassigned characters. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/u

/** Numbers from a counter: the same each time, and fast. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 13), 0x85ebca6b)
    mixed ^= mixed >>> 16
    return (mixed >>> 0) % below
  }
}

const EVIL =
  '\u001b[2J\u001b]0;x\u0007\r\n\t\u0000\u007f\u009b\u202e\u2066\u200b\u2028\ufeff\ue000\u{e0041}e\u0301\u0301\u0301\u0301\ud800'
const COMMIT = `tree ${'a'.repeat(40)}\nauthor A\u202e <a@b\u001b[1m> 1 +0000\ncommitter C <c@d> 99999999999999 +0000\n\nsub\u001b]0;ject\nbody\r\u2066`
const TAG = `object ${'b'.repeat(40)}\ntype commit\ntag v1\u200b\ntagger T <t@u> 1 +0000\n\nmessage\u0007`
const CLAIMS = JSON.stringify({
  iss: 'i\u202e',
  sub: 's\u001b[2K',
  aud: ['a', 'b\n'],
  exp: 1e300,
  x: EVIL,
})
const TYPED = JSON.stringify({
  types: {
    EIP712Domain: [{ name: 'name', type: 'string' }],
    Mail: [{ name: 'to', type: 'string' }],
  },
  primaryType: 'Mail',
  domain: { name: 'D\u202e' },
  message: { to: '\u001b[31mx' },
})

function sshString(bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.byteLength)
  return concat([length, bytes])
}

const ED25519 = concat([
  sshString(encodeUtf8('ssh-ed25519')),
  sshString(new Uint8Array(32).fill(7)),
])
const LOGIN = concat([
  sshString(new Uint8Array(32).fill(1)),
  Uint8Array.of(50),
  sshString(encodeUtf8('root')),
  sshString(encodeUtf8('ssh-connection')),
  sshString(encodeUtf8('publickey')),
  Uint8Array.of(1),
  sshString(encodeUtf8('ssh-ed25519')),
  sshString(ED25519),
])
/** The same, bound to the host that it is for. */
const BOUND_LOGIN = concat([
  LOGIN.subarray(0, LOGIN.indexOf(50) + 1),
  sshString(encodeUtf8('root')),
  sshString(encodeUtf8('ssh-connection')),
  sshString(encodeUtf8('publickey-hostbound-v00@openssh.com')),
  Uint8Array.of(1),
  sshString(encodeUtf8('ssh-ed25519')),
  sshString(ED25519),
  sshString(ED25519),
])
const SSHSIG = concat([
  encodeUtf8('SSHSIG'),
  sshString(encodeUtf8('na\u202eme')),
  sshString(encodeUtf8('')),
  sshString(encodeUtf8('sha512')),
  sshString(new Uint8Array(64)),
])
/** EIP-155, the example of the text. */
const TRANSACTION = Uint8Array.from(
  Buffer.from(
    'ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080',
    'hex',
  ),
)
const EXAMPLES = [
  ...[COMMIT, TAG, CLAIMS, TYPED, 'plain text', '{"a":1}', ''].map(encodeUtf8),
  encodeUtf8(EVIL.slice(0, -1)),
  LOGIN,
  SSHSIG,
  TRANSACTION,
  concat([Uint8Array.of(2), TRANSACTION]),
]

const FORMATS: readonly unknown[] = [
  undefined,
  { format: 'raw' },
  { format: 'der' },
  { format: 'jws' },
  { format: 'jws', protected: { kid: EVIL } },
  { format: 'sshsig', namespace: 'file' },
  { format: 'sshsig', namespace: 'git' },
  { format: 'sshsig', namespace: EVIL },
  { format: 'sshsig', namespace: 'file', digested: true },
  { format: 'git' },
  { format: 'ethereum', kind: 'eip191' },
  { format: 'ethereum', kind: 'eip712' },
  { format: 'ethereum', kind: 'transaction' },
  { format: 'ethereum', kind: EVIL },
  { format: 'digest' },
  { format: 'hmac' },
  { format: EVIL },
  { format: 1 },
  null,
  'raw',
]

describe('previewOf()', () => {
  it(`never throws, runs past its limits or shows a control character, in ${INPUTS} inputs`, () => {
    const roll = dice(7)
    const pick = <T>(from: readonly T[]): T => from[roll(from.length)] as T
    const words = (): string => {
      const from = roll(EVIL.length)
      return EVIL.slice(from, from + roll(8)) + 'x'.repeat(roll(40) === 0 ? 5000 : roll(9))
    }
    const bytes = (): Uint8Array => {
      const example = pick(EXAMPLES)
      const how = roll(4)
      if (how === 0) return example
      if (how === 1) return example.slice(0, roll(example.byteLength + 1))
      if (how === 2) return Uint8Array.from({ length: roll(60) }, () => roll(256))
      const bent = Uint8Array.from(example)
      for (let i = 0; i <= roll(3); i++)
        if (bent.byteLength > 0) bent[roll(bent.byteLength)] = roll(256)
      return bent
    }
    const value = (depth: number): unknown => {
      switch (roll(depth > 2 ? 8 : 10)) {
        case 0:
          return words()
        case 1:
          return bytes()
        case 2:
          return roll(2 ** 31)
        case 3:
          return 2n ** 60n
        case 4:
          return null
        case 5:
          return undefined
        case 6:
          return { step: roll(3), output: pick(['record', words()]) }
        case 7:
          return pick(FORMATS)
        case 8:
          return Array.from({ length: roll(5) }, () => value(depth + 1))
        default:
          return Object.fromEntries([
            [words(), value(depth + 1)],
            ['__proto__', 1],
          ])
      }
    }
    const names = CATALOG.map(({ name }) => name as string)
    const fields = [...new Set(CATALOG.flatMap(({ input }) => Object.keys(input.shape)))]
    const counts = { blind: 0, seen: 0 }
    for (let i = 0; i < INPUTS; i++) {
      const signs = roll(3) > 0
      const name = signs
        ? pick(['sign', 'mac'])
        : pick([...names, words(), '__proto__', 'toString'])
      const input: Record<string, unknown> = signs
        ? { key: 'a', message: roll(20) === 0 ? value(0) : bytes(), as: pick(FORMATS) }
        : {}
      for (let more = roll(signs ? 2 : 8); more > 0; more--) {
        input[roll(10) === 0 ? words() : pick(fields)] = value(0)
      }
      let preview
      try {
        preview = previewOf(name, input)
      } catch (error) {
        throw new Error(`threw for ${name}`, { cause: error })
      }
      const { title, details, blind } = preview
      counts[blind ? 'blind' : 'seen'] += 1
      const all = [title, ...details.map((one) => one.name)]
      const isBounded =
        all.every((line) => Array.from(line).length <= MAX_PREVIEW_LINE) &&
        details.every((one) => Array.from(one.value).length <= MAX_PREVIEW_TEXT) &&
        details.length <= MAX_PREVIEW_DETAILS
      if (!isBounded) throw new Error(`too long for ${name}: ${JSON.stringify(preview)}`)
      const unsafe = [...all, ...details.map((one) => one.value)].find((line) => UNSAFE.test(line))
      if (unsafe !== undefined) throw new Error(`unsafe for ${name}: ${JSON.stringify(unsafe)}`)
    }
    expect(counts.blind).toBeGreaterThan(INPUTS / 20)
    expect(counts.seen).toBeGreaterThan(INPUTS / 20)
  }, 120_000)

  it('reads each of these examples as what it is', () => {
    const as = (message: Uint8Array, format: unknown) =>
      previewOf('sign', { message, as: format }).title
    const raw = { format: 'raw' }
    expect(as(encodeUtf8(COMMIT), { format: 'git' })).toMatch(
      /^sign git commit "sub\\u\{1b\}\]0;ject"$/,
    )
    expect(as(encodeUtf8(TAG), { format: 'git' })).toBe('sign git tag v1\\u{200b}')
    expect(as(encodeUtf8(CLAIMS), { format: 'jws' })).toContain('JWT for s\\u{1b}[2K')
    expect(as(LOGIN, raw)).toContain('login by SSH as root')
    expect(previewOf('sign', { message: LOGIN, as: raw }).details).toEqual([
      { name: 'like', value: 'ssh-login' },
      { name: 'user', value: 'root' },
      { name: 'service', value: 'ssh-connection' },
      { name: 'key', value: expect.stringMatching(/^ssh-ed25519 SHA256:/) },
      { name: 'host key', value: 'not bound' },
      { name: 'bytes', value: '147' },
      expect.objectContaining({ name: 'SHA-256' }),
    ])
    expect(previewOf('sign', { message: BOUND_LOGIN, as: raw }).details).toContainEqual({
      name: 'host key',
      value: expect.stringMatching(/^SHA256:/),
    })
    expect(as(encodeUtf8('I agree'), { format: 'ethereum', kind: 'eip191' })).toContain('Ethereum')
    expect(as(TRANSACTION, { format: 'ethereum', kind: 'transaction' })).toContain('1 ether')
    expect(as(TRANSACTION, raw)).toContain('Ethereum transaction')
    expect(previewOf('sign', { message: LOGIN, as: raw }).blind).toBe(true)
    expect(as(encodeUtf8(TYPED), { format: 'ethereum', kind: 'eip712' })).toContain('Mail')
  })

  it('says what bytes begin like, also where they go on as nobody would write them', () => {
    const bent = Uint8Array.from(LOGIN)
    bent.set(encodeUtf8('\u001b'), 36 + 1 + 4)
    const { title, blind, details } = previewOf('sign', { message: bent, as: { format: 'raw' } })
    expect([title, blind]).toEqual(['sign raw bytes that begin like ssh-login', true])
    expect(details[0]).toEqual({ name: 'like', value: 'ssh-login' })
  })

  it('shows the hash of the very bytes', () => {
    for (const message of EXAMPLES) {
      const { details } = previewOf('sign', { message, as: { format: 'raw' } })
      const hash = createHash('sha256').update(message).digest('hex')
      expect(details.find(({ name }) => name === 'SHA-256')?.value).toBe(hash)
    }
  })
})
