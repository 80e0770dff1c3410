/**
 * The main job with real processes: a Stronghold at home serves its vault, a build machine asks, a person approves, and
 * programs that know nothing of it verify what came.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { locateHome } from '../../src/home.ts'
import { readRequests } from '../../src/requests.ts'
import { Place } from '../stronghold.ts'
import type { Ended, Running } from '../stronghold.ts'

const LONG = { timeout: 180_000 }
const VERIFY_RECEIPT = fileURLToPath(
  new URL('../../../../examples/verify-receipt.ts', import.meta.url),
)

const place = new Place()
let home: { peer: string; addrs: string[] }
let server: Awaited<ReturnType<Place['up']>>

const at = (line: string | readonly string[], input?: string | Uint8Array): Ended =>
  place.done('home', line, input)
const ci = (line: string | readonly string[], input?: string | Uint8Array): Ended =>
  place.done('ci', line, input)

beforeAll(async () => {
  at('init --passphrase-file pass')
  server = await place.up('home')
  home = at('status --json').json as typeof home
  const chain = (to: string, type: string): unknown => ({
    procedure: 'generate',
    input: { to, type },
  })
  at(
    'proc run --json',
    JSON.stringify({
      steps: [
        chain('release/app', 'ed25519'),
        chain('release/jwt', 'p256'),
        chain('release/eth', 'secp256k1'),
        chain('box/data', 'aes-256-gcm'),
      ],
    }),
  )
  const pairing = place.start('home', 'pair new ci')
  ci(['pair', 'join', await pairing.line(), 'home'])
  expect((await pairing.ended).exit).toBe(0)
  at('rule add --peers ci --procedures pub --paths ** --effect allow')
  at('rule add --peers ci --procedures sign --paths release/** --formats sshsig --effect ask')
  at('rule add --peers ci --procedures sign --paths release/app --formats raw --effect allow')
  at(
    'rule add --peers ci --procedures sign --paths release/** --formats jws,ethereum --effect allow',
  )
  at('rule add --peers ci --procedures encrypt,decrypt --paths box/** --effect allow')
}, 180_000)
afterAll(() => {
  place[Symbol.dispose]()
})

/** Asks for an SSH signature in the background; resolves when it waits for a person. */
async function asking(name: string, ...more: string[]): Promise<Running> {
  const before = (at('status --json').json as { pending: number }).pending
  const line = `sign home:release/app --in ${name} --out ${name}.sig`
  const running = place.start('ci', [...line.split(' '), ...more])
  for (;;) {
    const { pending } = at('status --json').json as { pending: number }
    if (pending > before) return running
    const early = await Promise.race([running.ended, Promise.resolve(undefined)])
    if (early !== undefined) throw new Error(`it ended with ${early.exit}: ${early.stderr}`)
  }
}

describe('a signature from elsewhere', () => {
  test(
    'of 10 MB as SSHSIG, approved by a person, is accepted by ssh-keygen; receipt and audit verify',
    LONG,
    async () => {
      writeFileSync(place.path('app.tgz'), randomBytes(10 * 1024 ** 2))
      const signing = await asking('app.tgz', '--reason', 'v2.4.0', '--receipt', 'r.json')
      const { approvals } = at('approval list --json').json as {
        approvals: { id: string; peerName: string; reason: string }[]
      }
      expect(approvals).toHaveLength(1)
      expect(approvals[0]).toMatchObject({ peerName: 'ci', reason: 'v2.4.0' })
      at(['approve', approvals[0]?.id ?? ''])
      const signed = await signing.ended
      expect(signed.exit).toBe(0)
      expect(signed.stderr).toContain('approved by a person at home')

      const signers = ci('pub home:release/app --format allowed-signers').stdout
      writeFileSync(place.path('signers'), signers)
      const verified = spawnSync(
        'ssh-keygen',
        '-Y verify -f signers -I release/app -n file -s app.tgz.sig'.split(' '),
        { cwd: place.folder, input: readFileSync(place.path('app.tgz')), encoding: 'utf8' },
      )
      if (verified.error === undefined) expect(verified.stdout).toContain('Good "file" signature')

      const { receipt } = JSON.parse(readFileSync(place.path('r.json'), 'utf8')) as {
        receipt: string
      }
      writeFileSync(place.path('r.cbor'), Buffer.from(receipt, 'base64'))
      execFileSync(process.execPath, [VERIFY_RECEIPT, place.path('r.cbor'), home.peer])
      ci('receipt verify r.json --peer home --in app.tgz')
      expect(at('audit verify').stdout).toContain('none missing, changed or moved')
    },
  )

  test('raw Ed25519 is accepted by OpenSSL', LONG, () => {
    ci('sign home:release/app --format raw --out raw.sig', 'release 2.4.0')
    writeFileSync(place.path('raw.txt'), 'release 2.4.0')
    writeFileSync(place.path('key.pem'), ci('pub home:release/app --format spki').stdout)
    const verified = spawnSync(
      'openssl',
      'pkeyutl -verify -pubin -inkey key.pem -rawin -in raw.txt -sigfile raw.sig'.split(' '),
      { cwd: place.folder, encoding: 'utf8' },
    )
    if (verified.error === undefined) expect(verified.stdout).toContain('Verified Successfully')
    const key = createPublicKey(readFileSync(place.path('key.pem')))
    const signature = readFileSync(place.path('raw.sig'))
    expect(verify(null, Buffer.from('release 2.4.0'), key, signature)).toBe(true)
  })

  test('ECDSA P-256 as JWS verifies with the JWK', LONG, () => {
    const claims = JSON.stringify({ sub: 'release', exp: 1_900_000_000 })
    const token = ci('sign home:release/jwt --format jws', claims).stdout.trim()
    const jwk = JSON.parse(ci('pub home:release/jwt --format jwk').stdout) as object
    const [head = '', body = '', signature = ''] = token.split('.')
    expect(Buffer.from(body, 'base64url').toString()).toBe(claims)
    const key = createPublicKey({ key: jwk as never, format: 'jwk' })
    const valid = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    )
    expect(valid).toBe(true)
  })

  test('secp256k1 as an Ethereum message recovers to its address', LONG, () => {
    const text = 'I agree'
    ci('sign home:release/eth --format ethereum --kind eip191 --out eth.sig', text)
    const signature = readFileSync(place.path('eth.sig'))
    const address = ci('pub home:release/eth --format evm').stdout.trim()
    const digest = keccak_256(
      Buffer.from(`\u0019Ethereum Signed Message:\n${text.length}${text}`, 'latin1'),
    )
    const recovery = (signature[64] ?? 0) - 27
    const point = secp256k1.Signature.fromBytes(signature.subarray(0, 64), 'compact')
      .addRecoveryBit(recovery)
      .recoverPublicKey(digest)
    const hash = keccak_256(point.toBytes(false).subarray(1))
    expect(`0x${Buffer.from(hash.subarray(12)).toString('hex')}`).toBe(address.toLowerCase())
  })

  test('what is encrypted there is decrypted there, and nowhere else', LONG, () => {
    const secret = 'the release notes, before they are out'
    ci('encrypt home:box/data --out sealed', secret)
    expect(readFileSync(place.path('sealed')).includes(Buffer.from('release notes'))).toBe(false)
    expect(ci('decrypt home:box/data --in sealed').stdout).toBe(secret)
  })
})

describe('a request that is not granted', () => {
  test(
    'is denied by rule with 3, by a person with 4, waits with 5, and is over with 6',
    LONG,
    async () => {
      writeFileSync(place.path('small'), 'x')
      const byRule = place.run('ci', 'sign home:other/key --in small')
      expect(byRule.exit).toBe(3)
      expect(byRule.stderr).toContain('home denied sign on other/key')

      const denied = await asking('small')
      at('deny')
      expect((await denied.ended).exit).toBe(4)

      const pending = place.run('ci', 'sign home:release/app --in small --no-wait')
      expect(pending.exit).toBe(5)
      expect(pending.stderr).toContain('stronghold request wait home:q-')
      at('deny')

      expect(place.run('ci', 'sign home:release/app --in small --wait 1s').exit).toBe(6)
    },
  )

  test('while the server is locked waits, and goes on after unlock', LONG, async () => {
    writeFileSync(place.path('locked'), 'y')
    const waiting = await asking('locked')
    at('lock')
    at('unlock --passphrase-file pass')
    at('approve')
    expect((await waiting.ended).exit).toBe(0)
  })

  test('survives that both are killed while it waits: server and requester', LONG, async () => {
    writeFileSync(place.path('kept'), 'z')
    const waiting = await asking('kept')
    waiting.process.kill('SIGKILL')
    await waiting.ended
    server.running.process.kill('SIGKILL')
    await server.running.ended
    expect(place.run('ci', 'pub home:release/app').exit).toBe(8)
    const [, , , , port = ''] = (server.addrs[0] ?? '').split('/')
    server = { ...(await place.up('home', '--listen', `/ip4/127.0.0.1/tcp/${port}`)) }
    at('approve')
    const own = locateHome({ env: {}, cwd: place.folder, userHome: place.folder }, 'ci')
    const left = readRequests(own).find(({ delivery }) => delivery.out === place.path('kept.sig'))
    expect(ci(`request wait home:${left?.id ?? ''}`).stderr).toContain('wrote')
    writeFileSync(place.path('signers'), ci('pub home:release/app --format allowed-signers').stdout)
    expect(readFileSync(place.path('kept.sig'), 'utf8')).toContain('BEGIN SSH SIGNATURE')
  })

  test('again under its id gives the same bytes; another under it is a conflict', LONG, () => {
    const id = createHash('sha256').update('an id').digest('hex').slice(0, 32)
    const first = ci(`sign home:release/app --format raw --request-id ${id} --out one`, 'same')
    expect(first.exit).toBe(0)
    ci(`sign home:release/app --format raw --request-id ${id} --out two`, 'same')
    expect(readFileSync(place.path('two'))).toEqual(readFileSync(place.path('one')))
    const other = place.run('ci', `sign home:release/app --format raw --request-id ${id}`, 'other')
    expect(other.exit).toBe(10)
  })

  test('of a peer that is blocked is refused, and the audit still verifies', LONG, () => {
    at('peer block ci')
    const blocked = place.run('ci', 'pub home:release/app')
    expect(blocked.exit).toBe(8)
    // Where the door shuts before the connection is all there, it is one that was not reached.
    expect(blocked.stderr).toMatch(/home closes the connection at once|cannot reach home/)
    at('peer unblock ci')
    expect(ci('pub home:release/app').exit).toBe(0)
    expect(at('audit verify').stdout).toContain('none missing, changed or moved')
  })
})
