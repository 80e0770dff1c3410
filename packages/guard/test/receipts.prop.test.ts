/** A receipt verifies for who asked, and nothing else does; the program of the examples finds the same without our code. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { decode, encode } from '@stronghold/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { requestBytes } from '../src/hashed.ts'
import { boundHash, resultHash } from '../src/hashes.ts'
import { MAX_AUDIT_LIST, MAX_HEAD_BYTES, MAX_RECEIPT_BYTES } from '../src/limits.ts'
import { decodeHead, encodeHead } from '../src/heads.ts'
import {
  CERTIFICATE_ENVELOPE,
  decodeCertificate,
  decodeLeaf,
  decodeReceipt,
  encodeCertificate,
  encodeLeaf,
  receiptsOf,
  verifyReceipt,
} from '../src/receipts.ts'
import type { Leaf, ReceiptCrypto, ReceiptExpected } from '../src/receipts.ts'
import { peerIdOf, sealEnvelope, sha256, signedHead, testKey, verifyEd25519 } from './signing.ts'

const VAULT = new Uint8Array(16).fill(3)
const KEY = testKey(1)
const NODE = testKey(9)
const PEER = peerIdOf(NODE)
const REQUESTER = peerIdOf(testKey(8))
const RECORD = new Uint8Array(16).fill(4)
const OUTPUTS = [{ signature: new Uint8Array(64).fill(5), version: 1 }]
const REQUEST = requestBytes({
  vault: VAULT,
  peer: REQUESTER,
  id: new Uint8Array(16).fill(6),
  steps: [{ procedure: 'sign', version: 1, input: { key: 'a', message: Uint8Array.of(1) } }],
  footprint: [['sign', 'key', 'a']],
  formats: ['sshsig:file'],
  reason: '',
  timeoutMs: 1000,
})
const LEAF: Leaf = {
  vault: VAULT,
  peer: REQUESTER,
  id: new Uint8Array(16).fill(6),
  bound: boundHash({
    request: sha256(REQUEST),
    records: [{ id: RECORD, version: 1 }],
    expiresAtMs: 2000,
  }),
  boundSalt: new Uint8Array(16).fill(7),
  result: resultHash(OUTPUTS),
  resultSalt: new Uint8Array(16).fill(8),
  use: [['sign', 'key', 'a', RECORD, 1]],
  expiresAtMs: 2000,
  rule: 'r2',
  approvals: ['owner'],
  position: 4,
  at: 1500,
}
const CERTIFICATE = sealEnvelope(
  NODE,
  CERTIFICATE_ENVELOPE,
  encodeCertificate({ vault: VAULT, receiptKey: KEY.publicKey, syncKey: null, at: 1 }),
)
const BARE_HEAD = {
  vault: VAULT,
  epoch: 1,
  generation: 2,
  auditHead: new Uint8Array(32).fill(9),
  auditLength: 5,
  timeMs: 1500,
}

/** Receipts of one commit: that of `leaf` among others. */
function receiptOf(
  leaf: Leaf,
  certificate: Uint8Array | null = CERTIFICATE,
  key = KEY,
): Uint8Array {
  const others = [0, 1, 2, 3].map((position) => encodeLeaf({ ...leaf, position }))
  const { root, seal } = receiptsOf([...others, encodeLeaf(leaf)], sha256)
  const made = seal(signedHead({ ...BARE_HEAD, receipts: root }, key), certificate)
  return made.at(-1) ?? new Uint8Array()
}

const CRYPTO: ReceiptCrypto = {
  sha256,
  verifyEd25519,
  // The envelopes of these tests are all of one node.
  openEnvelope: (envelope, kind) => {
    const payload = envelope.slice(
      envelope.findIndex((_, at) => isPayload(envelope, at)),
      -66,
    )
    const again = sealEnvelope(NODE, kind, payload)
    const isSame = Buffer.from(again).equals(envelope)
    return isSame ? Promise.resolve({ peer: PEER, payload }) : Promise.reject(new Error('no'))
  },
}

/** Where the payload of an envelope begins: a map of four fields behind its length. */
function isPayload(envelope: Uint8Array, at: number): boolean {
  return envelope[at] === 0xa4 && envelope[at - 1] === envelope.byteLength - at - 66
}

const GOOD = receiptOf(LEAF)
const ALL: ReceiptExpected = {
  peer: PEER,
  key: KEY.publicKey,
  requester: REQUESTER,
  vault: VAULT,
  id: LEAF.id,
  request: sha256(REQUEST),
  outputs: OUTPUTS,
}

async function faultOf(bytes: Uint8Array, expected: ReceiptExpected = { peer: PEER }) {
  const verdict = await verifyReceipt(bytes, expected, CRYPTO)
  return verdict.valid ? undefined : verdict.fault
}

describe('verifyReceipt()', () => {
  it('takes a receipt against the peer id alone, and against all that is known', async () => {
    for (const expected of [{ peer: PEER }, ALL, { key: KEY.publicKey }, {}]) {
      expect(await verifyReceipt(GOOD, expected, CRYPTO)).toMatchObject({
        valid: true,
        certifiedBy: PEER,
        receipt: { leaf: LEAF, index: 4, size: 5 },
      })
    }
    const uncertified = receiptOf(LEAF, null)
    expect(await faultOf(uncertified, { key: KEY.publicKey })).toBeUndefined()
  })

  it('says what is about something else', async () => {
    const other = new Uint8Array(32)
    const ask = (expected: ReceiptExpected) => faultOf(GOOD, expected)
    expect(await ask({ peer: REQUESTER })).toBe(`The certificate is that of ${PEER}`)
    expect(await ask({ key: other })).toBe('The head is signed by another key than expected')
    expect(await ask({ requester: PEER })).toBe('It is the receipt of another peer')
    expect(await ask({ vault: new Uint8Array(16) })).toBe('It is of another vault')
    expect(await ask({ id: new Uint8Array(16) })).toBe('It is about another request')
    expect(await ask({ request: other })).toBe('It is about a request that says something else')
    expect(await ask({ outputs: [] })).toBe('It is about another answer')
    const uncertified = 'Nobody vouches for the key that signed: there is no certificate'
    expect(await faultOf(receiptOf(LEAF, null), {})).toBe(uncertified)
    expect(await faultOf(receiptOf(LEAF, null), ALL)).toBe(uncertified)
  })

  it('says what is wrong with one that was put together', async () => {
    const receipt = decode(GOOD) as Record<string, unknown>
    const bend = (change: object) => faultOf(encode({ ...receipt, ...change }))
    const held = 'The receipt is not one of those that the head holds'
    expect(await bend({ index: 0 })).toBe(held)
    expect(await bend({ leaf: encodeLeaf({ ...LEAF, rule: 'r1' }) })).toBe(held)
    const { receipts } = decodeReceipt(GOOD).head
    const without = signedHead(BARE_HEAD, KEY)
    expect(await bend({ head: without })).toBe('The head holds no receipts')
    const unsigned = { ...without, ...(receipts !== undefined && { receipts }) }
    expect(await bend({ head: unsigned })).toBe('The signature of the head is wrong')
    const late = receiptOf({ ...LEAF, position: 5 })
    expect(await faultOf(late)).toBe('The head is older than the entry that it proves')
    const foreign = receiptOf({ ...LEAF, vault: new Uint8Array(16) })
    expect(await faultOf(foreign)).toBe('The head is that of another vault')
    expect(await faultOf(receiptOf(LEAF, CERTIFICATE, testKey(2)))).toBe(
      'The certificate is about another key',
    )
    expect(await bend({ certificate: CERTIFICATE.slice(1) })).toBe(
      'The certificate does not verify',
    )
    const about = encodeCertificate({
      vault: new Uint8Array(16),
      receiptKey: KEY.publicKey,
      syncKey: new Uint8Array(32),
      at: 1,
    })
    expect(decodeCertificate(about).syncKey).toEqual(new Uint8Array(32))
    const elsewhere = sealEnvelope(NODE, { ...CERTIFICATE_ENVELOPE, domain: 'other' }, about)
    expect(await bend({ certificate: elsewhere })).toBe('The certificate does not verify')
  })

  it('never takes a byte changed, left out or put in, and never rejects', async () => {
    const runs = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 1500
    await fc.assert(
      fc.asyncProperty(
        fc.nat(GOOD.byteLength - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.nat(2),
        async (at, by, how) => {
          const bent =
            how === 0
              ? Uint8Array.from(GOOD, (byte, index) => (index === at ? byte ^ by : byte))
              : Uint8Array.from([
                  ...GOOD.slice(0, at),
                  ...(how === 1 ? [by] : []),
                  ...GOOD.slice(at + how - 1),
                ])
          const fault = await faultOf(bent)
          expect(fault).toMatch(/^[A-Z][^\n]{10,250}[^.]$/)
        },
      ),
      { numRuns: runs },
    )
  }, 180_000)

  it('takes junk for junk', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (junk) => {
        expect(await faultOf(junk)).toBeTypeOf('string')
      }),
    )
    expect(await faultOf(new Uint8Array(MAX_RECEIPT_BYTES + 1))).toMatch(/bytes where/)
    expect(await faultOf(new Uint8Array(MAX_RECEIPT_BYTES))).toMatch(/bytes after/)
  })
})

describe('what receipts are made of', () => {
  it('is read back as it was written, and refused with a field too many', () => {
    const leaves: Leaf[] = [
      LEAF,
      { ...LEAF, peer: '', rule: null, approvals: [], use: [['random', '-', '-']] },
    ]
    for (const leaf of leaves) expect(decodeLeaf(encodeLeaf(leaf))).toEqual(leaf)
    const wide = encode({ ...(decode(encodeLeaf(LEAF)) as object), more: 1 })
    expect(() => decodeLeaf(wide)).toThrow('Cannot read receipt: an unknown field "more"')
    for (const use of [
      1,
      ['sign'],
      ['sign', 'key', 'a', RECORD],
      ['sign', 'key', 'a', RECORD, 0],
    ]) {
      const bent = encode({ ...(decode(encodeLeaf(LEAF)) as object), use: [use] })
      expect(() => decodeLeaf(bent)).toThrow(SyntaxError)
    }
    const most = { ...LEAF, use: Array<Leaf['use'][number]>(MAX_AUDIT_LIST).fill(['a', 'b', 'c']) }
    expect(decodeLeaf(encodeLeaf(most)).use).toHaveLength(MAX_AUDIT_LIST)
    const more = { ...LEAF, use: [...most.use, ...most.use] }
    expect(() => decodeLeaf(encodeLeaf(more))).toThrow(SyntaxError)
  })

  it('holds heads of MAX_HEAD_BYTES at most', () => {
    const head = signedHead(BARE_HEAD, KEY)
    expect(decodeHead(encodeHead(head))).toEqual(head)
    expect(() => decodeHead(encode({ ...head, more: 1 }))).toThrow(SyntaxError)
    expect(() => decodeHead(new Uint8Array(MAX_HEAD_BYTES))).toThrow(SyntaxError)
    expect(() => decodeHead(new Uint8Array(MAX_HEAD_BYTES + 1))).toThrow(RangeError)
  })
})

const PROGRAM = fileURLToPath(new URL('../../../examples/verify-receipt.ts', import.meta.url))

describe('examples/verify-receipt.ts', () => {
  let directory = ''
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'stronghold-receipt-'))
    writeFileSync(join(directory, 'request'), REQUEST)
    writeFileSync(join(directory, 'answer'), encode(OUTPUTS))
    writeFileSync(join(directory, 'other'), encode([]))
  })
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true })
  })

  function run(receipt: Uint8Array, ...args: string[]): { status: number | null; text: string } {
    writeFileSync(join(directory, 'receipt'), receipt)
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, 'receipt', ...args], {
      cwd: directory,
      encoding: 'utf8',
    })
    return { status, text: `${stdout}${stderr}` }
  }

  it('takes a good one, and says what was asked, of what, under which rule', () => {
    const { status, text } = run(GOOD, PEER, '--request', 'request', '--answer', 'answer')
    expect(text).toContain('sign key a version 1')
    expect(text).toContain('rule r2')
    expect(text).toContain('The receipt is right')
    expect(status).toBe(0)
    expect(run(GOOD, PEER).status).toBe(0)
  })

  it('refuses another peer, request, answer, and what was tampered with', () => {
    expect(run(GOOD, REQUESTER).text).toContain('certificate is that of')
    expect(run(GOOD, PEER, '--request', 'other').text).toContain('another request')
    expect(run(GOOD, PEER, '--answer', 'other').text).toContain('another answer')
    expect(run(receiptOf(LEAF, null), PEER).status).toBe(1)
    expect(run(receiptOf(LEAF, CERTIFICATE, testKey(2)), PEER).status).toBe(1)
    expect(run(receiptOf({ ...LEAF, position: 5 }), PEER).status).toBe(1)
    expect(run(receiptOf({ ...LEAF, vault: new Uint8Array(16) }), PEER).status).toBe(1)
    expect(run(GOOD.slice(0, -1), PEER).status).toBe(1)
    for (let at = 3; at < GOOD.byteLength; at += 401) {
      const bent = Uint8Array.from(GOOD, (byte, index) => (index === at ? byte ^ 1 : byte))
      expect(run(bent, PEER).status, `byte ${at}`).toBe(1)
    }
  }, 180_000)

  it('uses nothing but Node.js, and says how it is used', () => {
    const text = execFileSync('grep', ['-E', '^import|^} from', PROGRAM], { encoding: 'utf8' })
    for (const line of text.trim().split('\n')) expect(line).toMatch(/from 'node:/)
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM], { encoding: 'utf8' })
    expect([status, stderr.split('\n')[0]]).toEqual([
      2,
      'usage: node verify-receipt.ts RECEIPT PEER-ID [--request FILE] [--answer FILE]',
    ])
  })
})
