/** Commands on the own vault, as somebody types them: expected output, messages and exit codes. */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'

import { manualClock } from '@stronghold/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Machine } from '../machine.ts'

let machine: Machine
beforeAll(async () => {
  machine = await new Machine().init()
  await machine.done('key create release/app')
})
afterAll(() => {
  machine[Symbol.dispose]()
})

describe('init', () => {
  test('makes a home that is ours alone, and tells what to type next', async () => {
    using fresh = new Machine()
    const { stdout, stderr, exit } = await fresh.run('init --key-file home.key')
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(stdout).toMatch(/^peer {3}12D3KooW\w+\nhome {3}.+\/home\nnext {3}stronghold key create /)
    const mode = (name: string): number => statSync(fresh.path('home', name)).mode & 0o777
    expect(mode('.')).toBe(0o700)
    for (const file of ['identity', 'admin.token', 'approver.token']) expect(mode(file)).toBe(0o600)
    const tokens = ['admin.token', 'approver.token'].map((name) =>
      readFileSync(fresh.path('home', name), 'utf8'),
    )
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{64}\n$/)
    expect(tokens[0]).not.toBe(tokens[1])
    const { json } = await fresh.done('audit query --event certificate --json --key-file home.key')
    expect(stdout).toContain(json.entries[0].facts.peer)
  })

  test('a second time is a conflict and changes nothing', async () => {
    const before = readFileSync(machine.path('home', 'admin.token'), 'utf8')
    const { exit, stderr } = await machine.run('init --key-file home.key')
    expect(exit).toBe(10)
    expect(stderr).toMatch(
      /^stronghold: error: cannot make the vault: there is one already in .+\n/,
    )
    expect(stderr).toMatch(/stronghold: hint: stronghold status/)
    expect(readFileSync(machine.path('home', 'admin.token'), 'utf8')).toBe(before)
  })

  test('asks for the passphrase twice on the terminal, and shows none of it', async () => {
    using fresh = new Machine()
    await fresh.done('init', { typed: 'correct horse\rcorrect horse\r' })
    expect(fresh.shown).toBe('New passphrase: \r\nThe same again: \r\n')
    expect((await fresh.run('key list', { typed: 'correct horse\r' })).exit).toBe(0)
    const wrong = await fresh.run('key list', { typed: 'wrong horse\r' })
    expect(wrong.exit).toBe(7)
    expect(wrong.stderr).not.toContain('horse')
  })

  test('two passphrases that differ make nothing', async () => {
    using fresh = new Machine()
    const { exit, stderr } = await fresh.run('init', { typed: 'one\rtwo\r' })
    expect(exit).toBe(2)
    expect(stderr).toContain('the two passphrases differ')
    expect((await fresh.run('status --json')).json).toMatchObject({ vault: null, peer: null })
  })

  test('takes a passphrase from a file and from the environment', async () => {
    using fresh = new Machine()
    writeFileSync(fresh.path('pass.txt'), 'correct horse\n')
    await fresh.done('init --passphrase-file pass.txt')
    await fresh.done('key list', { env: { STRONGHOLD_PASSPHRASE_FILE: 'pass.txt' } })
    expect((await fresh.run('key list')).exit).toBe(7)
  })
})

describe('without anything that unlocks', () => {
  test('exit 7 at once, with what to type', async () => {
    using fresh = new Machine()
    await fresh.done('init --key-file home.key')
    const { exit, stdout, stderr } = await fresh.run('key list')
    expect({ exit, stdout }).toEqual({ exit: 7, stdout: '' })
    expect(stderr).toBe(
      'stronghold: error: cannot unlock the vault: no passphrase is at hand, and there is no terminal to ask on\n' +
        'stronghold: hint: name a --passphrase-file or --passphrase-fd, or set STRONGHOLD_PASSPHRASE_FILE\n',
    )
  })

  test('--json says the same in one line on stdout', async () => {
    using fresh = new Machine()
    const { exit, json, stderr } = await fresh.run('key list --json')
    expect({ exit, stderr }).toEqual({ exit: 9, stderr: '' })
    expect(json).toEqual({
      v: 1,
      error: {
        code: 'not_found',
        exit: 9,
        message: 'cannot open the vault',
        cause: `there is none in ${fresh.path('home')}`,
        hint: `stronghold init --home ${fresh.path('home')}`,
      },
    })
  })
})

describe('key', () => {
  test('create prints the record in a line', async () => {
    const { stdout } = await machine.done('key create release/second --type p256 --sync yes')
    expect(stdout).toBe('release/second  p256  version 1  egress public  sync yes\n')
  })

  test('create where something stands is a conflict', async () => {
    const { exit, stderr } = await machine.run('key create release/app')
    expect(exit).toBe(10)
    expect(stderr).toContain('release/app')
  })

  test('--dry-run says what would be done, and does nothing', async () => {
    const { stdout } = await machine.done('key create never/made --dry-run')
    expect(stdout).toBe('would run generate:to never/made\n')
    expect((await machine.run('key show never/made')).exit).toBe(9)
  })

  test('list and show say everything but the secret', async () => {
    const { stdout } = await machine.done('key list')
    expect(stdout.split('\n')[0]).toBe('PATH            TYPE     VERSION  EGRESS  SYNC  ORIGIN')
    expect(stdout).toContain('release/app     ed25519  1        public  no    generated')
    const { json } = await machine.done('key show release/app --json')
    expect(json).toMatchObject({
      v: 1,
      path: 'release/app',
      type: 'ed25519',
      usage: ['copy', 'sign'],
    })
    expect(json.publicKey).toMatch(/^[0-9a-f]{64}$/)
  })

  test('labels are what they are said to be, and hold for the owner', async () => {
    await machine.done('key create dark/key --egress none')
    expect((await machine.run('pub dark/key')).exit).toBe(3)
    const made = 'key create dark/words --type opaque --length 48 --egress derived --sync no --json'
    expect((await machine.done(made)).json).toMatchObject({
      ...{ type: 'opaque', egress: 'derived', sync: false },
    })
    machine.write('dark', 'hunter2')
    const taken =
      'key import dark/taken --in dark --format raw --type opaque --egress none --sync yes'
    expect((await machine.done(`${taken} --json`)).json).toMatchObject({
      ...{ origin: 'imported', egress: 'none', sync: true },
    })
    for (const path of ['dark/key', 'dark/words', 'dark/taken']) {
      await machine.done(`key revoke ${path}`)
    }
  })

  test('rotate adds a version, revoke takes the record away', async () => {
    await machine.done('key create old/key')
    expect((await machine.done('key rotate old/key')).stdout).toContain('version 2')
    expect((await machine.done('key revoke old/key')).stdout).toBe(
      'old/key  revoked, with versions up to 2\n',
    )
    const { exit, stderr } = await machine.run('key show old/key')
    expect(exit).toBe(9)
    expect(stderr).toContain('hint: stronghold key list')
  })

  test('import takes an OpenSSH key, whose public half is then the same', async () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', machine.path('id')])
    await machine.done('key import imported/ssh --in id')
    const [, blob] = readFileSync(machine.path('id.pub'), 'utf8').split(' ')
    expect((await machine.done('pub imported/ssh')).stdout).toBe(
      `ssh-ed25519 ${blob} imported/ssh\n`,
    )
  })

  test('import takes an encrypted OpenSSH key with its passphrase', async () => {
    execFileSync('ssh-keygen', [
      '-q',
      '-t',
      'ed25519',
      '-N',
      'open me',
      '-a',
      '2',
      '-f',
      machine.path('idx'),
    ])
    writeFileSync(machine.path('idx.pass'), 'open me\n')
    await machine.done('key import imported/locked --in idx --secret-passphrase-file idx.pass')
    await machine.done('key import imported/asked --in idx --ask-secret-passphrase', {
      typed: 'open me\r',
    })
  })

  test('import of raw bytes needs a type', async () => {
    writeFileSync(machine.path('raw'), 'hunter2')
    const { exit, stderr } = await machine.run('key import raw/one --in raw')
    expect(exit).toBe(2)
    expect(stderr).toContain('--format raw --type TYPE')
    expect(stderr).not.toContain('hunter2')
    await machine.done('key import raw/one --in raw --format raw --type opaque')
  })
})

describe('sign', () => {
  test('ssh-keygen -Y verify accepts it', async () => {
    writeFileSync(machine.path('app.tgz'), 'release 2.4.0')
    const { stdout, stderr } = await machine.done('sign release/app --in app.tgz --out app.tgz.sig')
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: 'stronghold: wrote app.tgz.sig\n' })
    await machine.done('pub release/app --format allowed-signers --out signers')
    const told = execFileSync(
      'ssh-keygen',
      ['-Y', 'verify', '-f', 'signers', '-I', 'release/app', '-n', 'file', '-s', 'app.tgz.sig'],
      { cwd: machine.cwd, input: 'release 2.4.0', encoding: 'utf8' },
    )
    expect(told).toContain('Good "file" signature for release/app')
  })

  test('hashes what is too large to hand over, and verifies it so', async () => {
    const large = new Uint8Array(300_000).fill(7)
    writeFileSync(machine.path('large'), large)
    await machine.done('sign release/app --in large --out large.sig')
    await machine.done('pub release/app --format allowed-signers --out signers')
    execFileSync(
      'ssh-keygen',
      ['-Y', 'verify', '-f', 'signers', '-I', 'release/app', '-n', 'file', '-s', 'large.sig'],
      { cwd: machine.cwd, input: large },
    )
    expect((await machine.done('verify release/app --sig large.sig --in large')).stdout).toBe(
      'valid\n',
    )
  })

  test('the receipt shows that it is about that very file, short or long', async () => {
    for (const [name, length] of [
      ['short', 100],
      ['long', 100_000],
    ] as const) {
      writeFileSync(machine.path(name), new Uint8Array(length))
      await machine.done(`sign release/app --in ${name} --out sig --receipt own.json --reason why`)
      await machine.done(`receipt verify own.json --in ${name}`)
      writeFileSync(machine.path(name), new Uint8Array(length + 1))
      expect((await machine.run(`receipt verify own.json --in ${name}`)).exit).toBe(11)
    }
  })

  test('a large input in a format without a hash is over the limit', async () => {
    writeFileSync(machine.path('large'), new Uint8Array(70_000))
    const { exit, stderr } = await machine.run('sign release/app --format raw --in large')
    expect(exit).toBe(12)
    expect(stderr).toContain('hint: sign it as sshsig')
  })

  test('what has no end is refused after no more than its limit', async () => {
    for (const line of [
      'sign release/app --format raw --in /dev/zero',
      'verify --key /dev/zero --sig large --in large',
      'rule diff /dev/zero',
      'audit verify --witness /dev/zero',
    ]) {
      expect({ line, exit: (await machine.run(line)).exit }).toEqual({ line, exit: 12 })
    }
    const hash = ['proc', 'run', 'sign', '{"key":"release/app","message":{"file":"/dev/zero"}}']
    expect((await machine.run(hash)).stderr).toContain('it is no file, and may have no end')
  })

  test('a pipe or a device is written to, and a link leads to what is new', async () => {
    execFileSync('mkfifo', [machine.path('pipe')])
    const pipe = openSync(machine.path('pipe'), constants.O_RDWR | constants.O_NONBLOCK)
    await machine.done('pub release/app --out pipe')
    const read = new Uint8Array(256)
    const length = readSync(pipe, read)
    closeSync(pipe)
    const line = new TextDecoder().decode(read.subarray(0, length))
    expect(line).toMatch(/^ssh-ed25519 \S+ release\/app\n$/)
    expect(lstatSync(machine.path('pipe')).isFIFO()).toBe(true)
    writeFileSync(machine.path('far'), 'before')
    symlinkSync(machine.path('far'), machine.path('link'))
    await machine.done('pub release/app --out link')
    expect(lstatSync(machine.path('link')).isSymbolicLink()).toBe(true)
    expect(readFileSync(machine.path('far'), 'utf8')).toBe(line)
  })

  test('openssl verifies a raw Ed25519 signature', async () => {
    writeFileSync(machine.path('msg'), 'raw message')
    await machine.done('sign release/app --format raw --in msg --out msg.sig')
    await machine.done('pub release/app --format spki --out key.pem')
    const openssl = execFileSync(
      'openssl',
      'pkeyutl -verify -pubin -inkey key.pem -rawin -in msg -sigfile msg.sig'.split(' '),
      { cwd: machine.cwd, encoding: 'utf8' },
    )
    expect(openssl).toContain('Verified Successfully')
  })

  test('every format, and back', async () => {
    await machine.done('key create eth/key --type secp256k1')
    writeFileSync(machine.path('m'), 'a message')
    writeFileSync(machine.path('d'), new Uint8Array(32).fill(9))
    const cases = [
      ['release/app', 'm', '--format sshsig --namespace mail'],
      ['release/second', 'm', '--format der'],
      ['release/second', 'm', '--format jws'],
      ['eth/key', 'm', '--format compact'],
      ['eth/key', 'm', '--format recoverable'],
      ['eth/key', 'm', '--format ethereum --kind eip191'],
      ['eth/key', 'd', '--format digest --encoding der'],
    ]
    for (const [key, input, format] of cases) {
      await machine.done(`sign ${key} --in ${input} ${format} --out s`)
      expect((await machine.done(`verify ${key} --in ${input} ${format} --sig s`)).stdout).toBe(
        'valid\n',
      )
    }
  })

  test('an option of another format is refused', async () => {
    const { exit, stderr } = await machine.run('sign release/app --format raw --namespace file')
    expect(exit).toBe(2)
    expect(stderr).toContain('cannot use --namespace: it belongs to --format sshsig')
  })

  test('reads stdin and writes stdout; --json carries the signature', async () => {
    const { json } = await machine.done('sign release/app --json', { stdin: 'from a pipe' })
    expect(Buffer.from(json.signature, 'base64').toString()).toContain('BEGIN SSH SIGNATURE')
    expect(json).toMatchObject({ v: 1, version: 1, out: null })
  })
})

describe('verify', () => {
  test('another file is exit 11', async () => {
    await machine.done('sign release/app --out other.sig', { stdin: 'other' })
    writeFileSync(machine.path('app.tgz'), 'release 2.4.0')
    const { exit, stderr } = await machine.run('verify release/app --sig other.sig --in app.tgz')
    expect(exit).toBe(11)
    expect(stderr).toMatch(/cannot verify "other.sig": it is no signature of this key over/)
  })

  test('a public key that is given needs no vault: OpenSSH, PEM, JWK', async () => {
    using elsewhere = new Machine()
    for (const [key, format] of [
      ['release/app', 'ssh'],
      ['release/app', 'spki'],
      ['release/second', 'jwk'],
      ['release/second', 'ssh'],
    ]) {
      const signature = await machine.done(`sign ${key}`, { stdin: 'a message' })
      const shown = await machine.done(`pub ${key} --format ${format}`)
      writeFileSync(elsewhere.path('s'), signature.bytes)
      writeFileSync(elsewhere.path('k'), shown.bytes)
      const good = await elsewhere.run('verify --key k --sig s', { stdin: 'a message' })
      expect({ exit: good.exit, stdout: good.stdout }).toEqual({ exit: 0, stdout: 'valid\n' })
      expect((await elsewhere.run('verify --key k --sig s', { stdin: 'another' })).exit).toBe(11)
    }
  })
})

describe('encrypt and decrypt', () => {
  test('give back what went in, into a file of our own', async () => {
    await machine.done('key create box/key --type xchacha20-poly1305')
    await machine.done('encrypt box/key --out note.sealed --context db', { stdin: 'hunter2' })
    expect(readFileSync(machine.path('note.sealed')).includes('hunter2')).toBe(false)
    await machine.done('decrypt box/key --in note.sealed --context db --out note')
    expect(readFileSync(machine.path('note'), 'utf8')).toBe('hunter2')
    expect(statSync(machine.path('note')).mode & 0o777).toBe(0o600)
    expect((await machine.run('decrypt box/key --in note.sealed --context x')).exit).not.toBe(0)
  })

  test('a terminal is shown no binary', async () => {
    const { exit, stdout, stderr } = await machine.run('encrypt box/key', {
      stdin: 'x',
      columns: 80,
    })
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' })
    expect(stderr).toContain('it is binary, and stdout is a terminal')
  })

  test('what the labels do not allow is exit 3', async () => {
    await machine.done('key create closed/key --type xchacha20-poly1305 --usage encrypt')
    await machine.done('encrypt closed/key --out sealed', { stdin: 'x' })
    const { exit, stderr } = await machine.run('decrypt closed/key --in sealed')
    expect(exit).toBe(3)
    expect(stderr).toContain('hint: see what it may be used for')
  })
})

describe('store', () => {
  test('sets, shows, lists and deletes', async () => {
    await machine.done('store set deploy/url https://example.org')
    expect((await machine.done('store get deploy/url')).stdout).toBe('https://example.org')
    await machine.done('store set deploy/lock --ttl 10m', { stdin: 'held' })
    const { stdout } = await machine.done('store list deploy/')
    expect(stdout).toMatch(
      /^KEY +BYTES +EXPIRES\ndeploy\/lock +4 +20\S+Z\ndeploy\/url +19 +never\n$/,
    )
    await machine.done('store delete deploy/url')
    expect((await machine.run('store get deploy/url')).exit).toBe(9)
    expect((await machine.run('store delete deploy/url')).exit).toBe(9)
  })
})

describe('proc', () => {
  test('runs a procedure from JSON', async () => {
    const { json } = await machine.done(['proc', 'run', 'pub', '{"key":"release/app"}', '--json'])
    expect(json.outputs[0]).toMatchObject({ type: 'ed25519', version: 1 })
    expect(json.outputs[0].publicKey.base64).toMatch(/^[A-Za-z0-9+/]{43}=$/)
  })

  test('runs a chain, all or nothing', async () => {
    const chain = {
      steps: [
        { procedure: 'generate', input: { type: 'seed', to: 'chain/seed' } },
        { procedure: 'hkdf', input: { from: 'chain/seed', to: 'chain/key', type: 'aes-256-gcm' } },
      ],
    }
    await machine.done('proc run', { stdin: JSON.stringify(chain) })
    expect((await machine.done('key list chain/*')).stdout).toMatch(/chain\/key +aes-256-gcm/)
    const broken = {
      steps: [{ procedure: 'generate', input: { type: 'seed', to: 'half/way' } }, chain.steps[0]],
    }
    expect((await machine.run('proc run', { stdin: JSON.stringify(broken) })).exit).toBe(10)
    expect((await machine.run('key show half/way')).exit).toBe(9)
  })

  test('refuses a field that is a secret, and names key import', async () => {
    const { exit, stderr, stdout } = await machine.run([
      'proc',
      'run',
      'import',
      '{"to":"a/b","as":{"format":"raw","type":"opaque"},"secret":{"text":"hunter2"}}',
    ])
    expect(exit).toBe(2)
    expect(stderr).toContain('stronghold key import')
    expect(stderr + stdout).not.toContain('hunter2')
  })

  test('every procedure can be shown', async () => {
    const { json } = await machine.done('proc list --json')
    expect(json.procedures.length).toBeGreaterThan(20)
    for (const { name } of json.procedures) {
      const { stdout } = await machine.done(`proc show ${name}`)
      expect(stdout.split('\n').every((line) => line.length <= 80)).toBe(true)
    }
  })

  test('an unknown procedure is told', async () => {
    const { exit, stderr } = await machine.run(['proc', 'run', 'sing', '{}'])
    expect({ exit, stderr }).toEqual({
      exit: 2,
      stderr:
        'stronghold: error: cannot find procedure "sing": there is none of that name\n' +
        'stronghold: hint: stronghold proc list\n',
    })
  })
})

test('a note is one line, and moves no cursor', async () => {
  const rule = 'rule add --peers known --procedures pub --paths k --effect allow --note'
  await machine.done([...rule.split(' '), 'a\u001b[31m\nb'])
  for (const line of ['rule list', 'rule show r1']) {
    expect((await machine.done(line)).stdout).toContain('a\\u{1b}[31m⏎b')
  }
  await machine.done('rule remove r1')
})

test('random gives so many bytes, each time others', async () => {
  const [one, two] = [await machine.done('random 32'), await machine.done('random 32')]
  expect(one.stdout).toMatch(/^[0-9a-f]{64}\n$/)
  expect(one.stdout).not.toBe(two.stdout)
  expect((await machine.done('random 10 --format raw')).bytes.byteLength).toBe(10)
})

test('a value of the store is gone when its time is over', async () => {
  const clock = manualClock(1_800_000_000_000)
  using timed = await new Machine({}, clock).init()
  await timed.done('store set lock held --ttl 10m')
  expect((await timed.done('store get lock')).stdout).toBe('held')
  clock.advance(600_000)
  expect((await timed.run('store get lock')).exit).toBe(9)
})
