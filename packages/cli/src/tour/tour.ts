/** The whole idea in a minute, played with real processes: what `stronghold tour` shows. */
import { randomFillSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { toHex } from '@stronghold/core'

import { Failure } from '../failure.ts'
import type { Io } from '../io.ts'
import { TOUR_COMMAND_MS } from '../limits.ts'
import type { Terminal } from '../terminal.ts'
import { Stage } from './stage.ts'

const POLL_MS = 100

/** What was played, and who verified the signature. */
export interface Tour {
  readonly verifiedBy: 'ssh-keygen' | 'node'
}

/** Plays it. @throws `Failure` where anything ends otherwise than it should */
export async function playTour(io: Io, terminal: Terminal): Promise<Tour> {
  await using stage = new Stage(io, terminal)
  for (const who of ['home', 'ci'] as const) {
    stage.write(who, 'passphrase', `${toHex(randomFillSync(new Uint8Array(16)))}\n`)
  }
  const artifact = randomFillSync(new Uint8Array(64 * 1024))
  stage.write('ci', 'app.tgz', artifact)

  await terminal.say(
    'Two machines, home and ci, each with the real program. What they make is gone afterwards.',
  )
  await stage.tell('1  At home a vault is made, stays up, and makes a key that never leaves it')
  await stage.done('home', ['stronghold', 'init'])
  await stage.done('home', ['stronghold', 'up', '--detach'])
  await stage.done('home', ['stronghold', 'key', 'create', 'release/app'])

  await stage.tell('2  The build machine is introduced: it becomes known, and may do nothing')
  const pairing = stage.start('home', ['stronghold', 'pair', 'new', 'ci'])
  await stage.done('ci', ['stronghold', 'pair', 'join', await pairing.first, 'home'])
  assertDone((await pairing.ended).exit, 'pair new')

  await stage.tell(
    '3  Rules: the public key is for ci to read; for each signature a person is asked',
  )
  const rule = (procedure: string, ...more: string[]): string[] => [
    ...['stronghold', 'rule', 'add', '--peers', 'ci', '--procedures', procedure],
    ...['--paths', 'release/**', ...more],
  ]
  await stage.done('home', rule('pub', '--effect', 'allow'))
  await stage.done(
    'home',
    rule('sign', '--formats', 'sshsig', '--effect', 'ask', '--limit', '10/day'),
  )

  await stage.tell('4  The build asks for a signature, and waits')
  const signing = stage.start('ci', [
    ...['stronghold', 'sign', 'home:release/app', '--format', 'sshsig'],
    ...['--in', 'app.tgz', '--out', 'app.tgz.sig', '--reason', 'v2.4.0', '--receipt', 'r.json'],
  ])
  await asked(stage, io)

  await stage.tell('5  The person at home sees what would be signed, and says yes')
  await stage.done('home', ['stronghold', 'approval', 'show'])
  await stage.done('home', ['stronghold', 'approve'])
  assertDone((await signing.ended).exit, 'sign')

  await stage.tell('6  The signature is verified by a program that knows nothing of Stronghold')
  const verifiedBy = hasProgram(io, 'ssh-keygen') ? 'ssh-keygen' : 'node'
  if (verifiedBy === 'ssh-keygen') await verifyBySsh(stage, artifact)
  else await verifyByNode(stage)

  await stage.tell('7  What no rule allows is denied; what happened is proven')
  const other = await stage.play('ci', ['stronghold', 'sign', 'home:other/key', '--in', 'app.tgz'])
  if (other.exit !== 3)
    throw otherwise(`a denied signature ended with ${other.exit} and not with 3`)
  await stage.done('ci', [
    ...['stronghold', 'receipt', 'verify', 'r.json', '--peer', 'home', '--in', 'app.tgz'],
  ])
  await stage.done('home', ['stronghold', 'audit', 'verify'])
  await stage.done('home', ['stronghold', 'down'])
  return { verifiedBy }
}

/** Waits, unseen, until the request is there. */
async function asked(stage: Stage, io: Io): Promise<void> {
  const untilMs = io.clock.nowMs() + TOUR_COMMAND_MS
  while (io.clock.nowMs() < untilMs) {
    const { stdout } = await stage.done('home', ['stronghold', 'status', '--json'], { quiet: true })
    if ((JSON.parse(stdout) as { pending: number | null }).pending === 1) return
    await io.sleep(POLL_MS)
  }
  throw otherwise('nobody was asked')
}

async function verifyBySsh(stage: Stage, artifact: Uint8Array): Promise<void> {
  await stage.done('ci', ['stronghold', 'pub', 'home:release/app', '--format', 'allowed-signers'], {
    into: 'signers',
  })
  const verify = '-Y verify -f signers -I release/app -n file -s app.tgz.sig'.split(' ')
  await stage.done('ci', ['ssh-keygen', ...verify], { from: { name: 'app.tgz', bytes: artifact } })
}

/** Reads the signature by PROTOCOL.sshsig of OpenSSH, and checks it by what Node.js has. Nothing of ours is in it. */
const VERIFIER = `
const { createHash, createPublicKey, verify } = require('node:crypto')
const { readFileSync } = require('node:fs')
const armored = readFileSync('app.tgz.sig', 'latin1').replace(/-----[^-]+-----/g, '')
const blob = Buffer.from(armored, 'base64')
let at = 10
const next = () => { const end = at + 4 + blob.readUInt32BE(at); const part = blob.subarray(at + 4, end); at = end; return part }
next() // the key that the signature names: what counts is the one in key.pem
const [namespace, reserved, hash, signature] = [next(), next(), next(), next()]
const string = (bytes) => { const head = Buffer.alloc(4); head.writeUInt32BE(bytes.length); return Buffer.concat([head, bytes]) }
const digest = createHash(hash.toString()).update(readFileSync('app.tgz')).digest()
const signed = Buffer.concat([Buffer.from('SSHSIG'), ...[namespace, reserved, hash, digest].map(string)])
const valid = verify(null, signed, createPublicKey(readFileSync('key.pem')), signature.subarray(-64))
console.log(valid ? 'the signature is good' : 'the signature is WRONG')
process.exitCode = valid ? 0 : 1
`

async function verifyByNode(stage: Stage): Promise<void> {
  stage.write('ci', 'verify.cjs', VERIFIER)
  await stage.done('ci', ['stronghold', 'pub', 'home:release/app', '--format', 'spki'], {
    into: 'key.pem',
  })
  await stage.done('ci', [process.execPath, 'verify.cjs'])
}

function hasProgram({ env }: Pick<Io, 'env'>, name: string): boolean {
  return (env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name)))
}

function assertDone(exit: number, what: string): void {
  if (exit !== 0) throw otherwise(`${what} ended with ${exit}`)
}

function otherwise(reason: string): Failure {
  return new Failure('internal', 'cannot finish the tour', {
    reason,
    hint: 'run it again; if it stays, report what stands above',
  })
}
