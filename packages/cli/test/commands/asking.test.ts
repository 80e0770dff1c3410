/** Asking another Stronghold, as somebody types it: over TCP, with a person at the other end. */
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

import { allApprovals } from '@stronghold/guard'
import { systemClock } from '@stronghold/vault'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { locateHome, peerOf } from '../../src/home.ts'
import { MAX_UNHEARD_MS } from '../../src/limits.ts'
import { MOST_PENDING, TwoMachines } from '../home-served.ts'
import { Machine } from '../machine.ts'

const ID = '00112233445566778899aabbccddeeff'

let both: TwoMachines
beforeAll(async () => {
  both = await new TwoMachines().start()
  writeFileSync(both.ci.path('app.tgz'), 'v2.4.0')
})
afterAll(async () => {
  await both[Symbol.asyncDispose]()
})

test('3 denied: before any rule, and a key that is not there, alike', async () => {
  const { ci } = both
  const denied = await ci.run('sign home:release/app --in app.tgz')
  expect(denied).toMatchObject({ exit: 3, stdout: '' })
  expect(denied.stderr).toBe(
    'stronghold: error: home denied sign on release/app\nstronghold: hint: see what you may use: stronghold key list home:\n',
  )
  const absent = await ci.run('sign home:release/none --in app.tgz')
  expect(absent.stderr).toBe(denied.stderr.replace('release/app', 'release/none'))
})

describe('with rules', () => {
  beforeAll(async () => {
    await both.rule({ effect: 'ask', formats: ['sshsig'] })
    await both.rule({ effect: 'allow', procedures: ['pub', 'verify'] })
    await both.rule({ effect: 'allow', procedures: ['encrypt', 'decrypt'], paths: ['box/**'] })
    await both.rule({ effect: 'allow', procedures: ['random'], paths: ['-'] })
  })

  test('key list PEER: shows what may be used, and what asks', async () => {
    const { ci } = both
    const { stdout } = await ci.done('key list home:')
    expect(stdout).toMatch(/release\/app +ed25519 +1 +pub, sign \(asks\), verify/)
    const { json } = await ci.done('key list home:box/** --json')
    expect(json.records).toMatchObject([{ path: 'box/key', publicKey: null }])
  })

  test('a signature that a person approves, with its receipt, which verifies by the peer id', async () => {
    const { ci } = both
    const signing = ci.run(
      'sign home:release/app --in app.tgz --out app.tgz.sig --reason v2.4.0 --receipt r.json',
    )
    expect((await both.asked()).reason).toBe('v2.4.0')
    await both.decide('once')
    const { exit, stderr, stdout } = await signing
    expect(stderr).toMatch(
      /^stronghold: waiting for a person at home, request q-[0-9a-f]{4}, (9:5\d|10:00) left · \^C leaves it: stronghold request wait home:q-[0-9a-f]{4}\nstronghold: approved by a person at home, \d+ s · wrote app.tgz.sig, r.json\n$/,
    )
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: '' })
    await ci.done('pub home:release/app --format allowed-signers --out signers')
    const told = execFileSync(
      'ssh-keygen',
      ['-Y', 'verify', '-f', 'signers', '-I', 'release/app', '-n', 'file', '-s', 'app.tgz.sig'],
      { cwd: ci.cwd, input: readFileSync(ci.path('app.tgz')), encoding: 'utf8' },
    )
    expect(told).toContain('Good "file" signature for release/app')
    expect((await ci.done('receipt verify r.json --peer home')).stdout).toContain('valid')
    const { stdout: proven } = await ci.done('receipt verify r.json --peer home --in app.tgz')
    expect(proven).toContain('; what was signed is "app.tgz"\n')
    expect(readFileSync(ci.path('r.json'), 'utf8')).not.toContain('message')
    expect((await ci.done('verify home:release/app --sig app.tgz.sig --in app.tgz')).stdout).toBe(
      'valid\n',
    )
  })

  test('a large file goes by its digest, and verifies there', async () => {
    const { ci } = both
    writeFileSync(ci.path('large'), new Uint8Array(300_000).fill(0x61))
    const signing = ci.run('sign home:release/app --in large --out large.sig --receipt large.json')
    const { steps } = await both.decide('once')
    expect(steps[0]?.details).toEqual(
      expect.arrayContaining([
        { name: 'claimed name', value: 'large' },
        { name: 'claimed size', value: '300,000 bytes' },
      ]),
    )
    expect((await signing).exit).toBe(0)
    await ci.done('receipt verify large.json --peer home --in large')
    for (const length of [300_001, 300]) {
      writeFileSync(ci.path('other'), new Uint8Array(length).fill(0x61))
      const other = await ci.run('receipt verify large.json --peer home --in other')
      expect(other.exit).toBe(11)
      expect(other.stderr).toContain('it is about a request that says something else')
    }
    expect((await ci.run('verify home:release/app --sig large.sig --in large')).exit).toBe(0)
    expect((await ci.run('verify home:release/app --sig large.sig --in app.tgz')).exit).toBe(11)
    expect((await ci.run('sign home:release/app --format raw --in large')).exit).toBe(12)
  })

  test('a receipt is of one file, of one answer, and of nothing that was changed beside it', async () => {
    const { ci } = both
    writeFileSync(ci.path('middle'), new Uint8Array(60_000).fill(0x62))
    const signing = ci.run('sign home:release/app --in middle --receipt middle.json --reason why')
    await both.decide('once')
    expect((await signing).exit).toBe(0)
    const verify = (what: string) => ci.run(`receipt verify ${what} --peer home`)
    expect((await verify('middle.json --in middle')).exit).toBe(0)
    expect((await verify('middle.json --in app.tgz')).exit).toBe(11)
    expect((await verify('middle.json --in large')).exit).toBe(11)
    const file = JSON.parse(readFileSync(ci.path('middle.json'), 'utf8')) as {
      asked: { input: object }
      outputs: object[]
    }
    const written = async (changed: object, line: string) => {
      writeFileSync(ci.path('changed.json'), JSON.stringify({ ...file, ...changed }))
      return await verify(`changed.json ${line}`)
    }
    const { asked, outputs } = file
    expect((await written({ asked: { ...asked, reason: '' } }, '--in middle')).exit).toBe(11)
    const input = { ...asked.input, key: 'release/other' }
    expect((await written({ asked: { ...asked, input } }, '--in middle')).exit).toBe(11)
    const answer = await written({ outputs: [{ ...outputs[0], version: 2 }] }, '')
    expect(answer.exit).toBe(11)
    expect(answer.stderr).toContain('it is about another answer')
    expect((await written({ asked: undefined }, '--in middle')).exit).toBe(2)
  })

  test('encrypt, decrypt, random and a chain at another Stronghold', async () => {
    const { ci } = both
    await ci.done('encrypt home:box/key --out sealed --context db', { stdin: 'hunter2' })
    expect((await ci.done('decrypt home:box/key --in sealed --context db')).stdout).toBe('hunter2')
    expect((await ci.done('random home:8')).stdout).toMatch(/^[0-9a-f]{16}\n$/)
    const steps = ['pub', 'pub'].map((procedure) => ({
      procedure,
      input: { key: 'home:release/app' },
    }))
    const { json } = await ci.done('proc run --json', { stdin: JSON.stringify({ steps }) })
    expect(json.outputs).toHaveLength(2)
    expect(json.request).toMatch(/^[0-9a-f]{32}$/)
    const mixed = [steps[0], { procedure: 'pub', input: { key: 'release/app' } }]
    const refused = await ci.run('proc run', { stdin: JSON.stringify({ steps: mixed }) })
    expect(refused.exit).toBe(2)
    expect(refused.stderr).toContain('its paths are not all of one vault')
  })

  test('4 denied by a person', async () => {
    const signing = both.ci.run('sign home:release/app --in app.tgz')
    await both.decide('deny')
    const { exit, stderr } = await signing
    expect(exit).toBe(4)
    expect(stderr).toContain('error: a person at home denied sign on release/app\n')
  })

  test('5 pending at once by --no-wait; request wait comes back and writes the same files', async () => {
    const { ci } = both
    const asking =
      'sign home:release/app --in app.tgz --out later.sig --receipt later.json --no-wait'
    const left = await ci.run([...asking.split(' '), '--reason', 'v2\u001b[31m\n!'])
    expect(left.exit).toBe(5)
    const [, name = ''] = /stronghold request wait (home:q-[0-9a-f]{4})\n/.exec(left.stderr) ?? []
    expect(name).not.toBe('')
    expect((await ci.done('request list')).stdout).toMatch(
      new RegExp(`${name} +sign on release/app +waits for a person +(9:5|10:00)`),
    )
    for (const line of ['request list', `request show ${name}`]) {
      expect((await ci.done(line)).stdout).toContain('v2\\u{1b}[31m⏎!')
    }
    const { json } = await ci.done(`request show ${name} --json`)
    expect(json).toMatchObject({ state: 'pending', out: ci.path('later.sig') })
    const waiting = ci.run('request wait home:')
    await both.decide('once')
    const { exit, stderr } = await waiting
    expect(exit).toBe(0)
    expect(stderr).toContain(`wrote ${ci.path('later.sig')}, ${ci.path('later.json')}`)
    expect((await ci.run('verify home:release/app --sig later.sig --in app.tgz')).exit).toBe(0)
    await ci.done('receipt verify later.json --peer home --in app.tgz')
    expect((await ci.done(`request show ${name} --json`)).json.state).toBe('done')
    const none = await ci.run('request show home:')
    expect({ exit: none.exit, said: none.stderr.includes('nothing asked of home waits') }).toEqual({
      exit: 9,
      said: true,
    })
    // What has arrived is not kept there.
    const again = await ci.run(`request wait ${name}`)
    expect(again.exit).toBe(11)
    expect(again.stderr).toContain('home has done sign on release/app, and its answer is gone')
  })

  test('5 pending: ^C leaves it, and says how to come back', async () => {
    const { ci } = both
    const signing = ci.run('sign home:release/app --in app.tgz --json')
    await both.asked()
    ci.end()
    const { exit, json } = await signing
    expect(exit).toBe(5)
    expect(json.error.hint).toMatch(/^to come back: stronghold request wait home:[0-9a-f]{32}$/)
    await both.asked()
    // Executed while nobody waits for it.
    await both.decide('once')
    const [, back = ''] = / (home:[0-9a-f]{32})$/.exec(json.error.hint) ?? []
    const { stdout } = await ci.done(`request wait ${back}`)
    expect(stdout).toContain('BEGIN SSH SIGNATURE')
  })

  test('a request that is taken back is asked about no more', async () => {
    const { ci } = both
    await ci.run('sign home:release/app --in app.tgz --no-wait')
    await both.asked()
    expect((await ci.done('request cancel home: --json')).json.canceled).toBe(true)
    expect(await allApprovals(both.guard.owner)).toEqual([])
    expect((await ci.run('request cancel home:')).exit).toBe(9)
  })

  test('6 expired while waiting', async () => {
    const { exit, stderr } = await both.ci.run('sign home:release/app --in app.tgz --wait 300ms')
    expect(exit).toBe(6)
    expect(stderr).toContain('error: nobody at home decided on sign on release/app in time\n')
  })

  test('the same request twice gets the same bytes; 10 conflict with another body', async () => {
    const { ci } = both
    const line = `random home:16 --request-id ${ID}`
    const once = (await ci.done(line)).stdout
    expect((await ci.done(line)).stdout).toBe(once)
    expect((await ci.done('random home:16')).stdout).not.toBe(once)
    const other = await ci.run(`random home:17 --request-id ${ID}`)
    expect(other.exit).toBe(10)
    expect(other.stderr).toContain('another request has this id')
    expect((await ci.run('random home:16 --request-id xyz')).exit).toBe(2)
  })

  test('the home restarts while somebody waits, and is decided after all', async () => {
    const { ci } = both
    const signing = ci.run('sign home:release/app --in app.tgz --out restarted.sig')
    await both.asked()
    await both.down()
    await both.up()
    await both.decide('once')
    expect((await signing).exit).toBe(0)
    expect((await ci.run('verify home:release/app --sig restarted.sig --in app.tgz')).exit).toBe(0)
  })

  test('what comes while the vault is locked waits for somebody to unlock it', async () => {
    const { ci } = both
    await both.guard.owner.lock()
    const asking = ci.run('pub home:release/app --format raw --out raw')
    const taken = async (): Promise<number> => (await both.guard.owner.status()).intake
    await expect.poll(taken, { timeout: 15_000 }).toBe(1)
    await both.unlock()
    expect((await asking).exit).toBe(0)
  })

  test('7 locked: what came so, and was left alone, is sent again by the command that is told', async () => {
    const { ci } = both
    await both.guard.owner.lock()
    expect((await ci.done('key list home:')).stderr).toContain('nothing there, or is locked')
    const words = ['pub', 'home:release/app', '--no-wait', '--reason', "it's mine"]
    expect((await ci.run(words)).exit).toBe(5)
    await both.unlock()
    const { exit, stderr } = await ci.run('request wait home:')
    expect(exit).toBe(7)
    expect(stderr).toContain('it came while the vault was locked and has to be sent again')
    const [, told = ''] = / here: stronghold (.+)\n/.exec(stderr) ?? []
    expect(told).toMatch(
      /^pub home:release\/app --reason 'it'\\''s mine' --request-id [0-9a-f]{32}$/,
    )
    const again = [...words.toSpliced(2, 1), '--request-id', told.split(' ').at(-1) ?? '']
    expect((await ci.done(again)).stdout).toContain('ssh-ed25519')
  })

  test('7 locked: what waited before is taken back once the vault is unlocked, and at once what came later', async () => {
    const { ci } = both
    await ci.run('sign home:release/app --in app.tgz --no-wait')
    await both.asked()
    await both.guard.owner.lock()
    const { exit, stderr } = await ci.run('request cancel home:')
    expect(exit).toBe(7)
    expect(stderr).toMatch(
      /home cannot answer sign on release\/app: locked.*\n.*there: stronghold unlock; here: stronghold request cancel home:q-[0-9a-f]{4,}\n/,
    )
    const [, told = ''] = / here: stronghold (.+)\n/.exec(stderr) ?? []
    expect((await ci.run('pub home:release/app --no-wait')).exit).toBe(5)
    const noted = (await ci.done('request list --json')).json.requests as {
      id: string
      what: string[]
    }[]
    const later = noted.findLast(({ what }) => what[0]?.startsWith('pub'))?.id ?? ''
    await ci.done(`request cancel home:${later}`)
    expect((await both.guard.owner.status()).intake).toBe(0)
    await both.unlock()
    await ci.done(told)
    expect(await allApprovals(both.guard.owner)).toEqual([])
  })

  test('a lock while somebody waits does no harm', async () => {
    const signing = both.ci.run('sign home:release/app --in app.tgz')
    await both.asked()
    await both.guard.owner.lock()
    await both.unlock()
    await both.decide('once')
    expect((await signing).exit).toBe(0)
  })

  test('8 unreachable, with where and the next command', async () => {
    const address = both.node.addresses[0] ?? ''
    await both.down()
    const { exit, stderr } = await both.ci.run('pub home:release/app')
    expect(exit).toBe(8)
    expect(stderr).toContain(
      `error: cannot reach home: connection refused (at ${address}, layer dial)\n`,
    )
    expect(stderr).toContain('hint: stronghold peer connect home\n')
    // What was never sent is nothing to come back to.
    expect((await both.ci.done('request list')).stdout).not.toContain('not heard of')
    await both.up()
  })

  test('9 not found: a peer that the book does not have', async () => {
    expect((await both.ci.run('pub nas:release/app')).exit).toBe(9)
  })

  test('11 verification failed: a vault that was put back, across runs', async () => {
    const { ci } = both
    const heads = ci.path('home', 'heads.json')
    const [vault, copy] = [both.home.path('home', 'vault'), both.home.path('copy')]
    await both.down()
    cpSync(vault, copy, { recursive: true })
    await both.up()
    for (let count = 0; count < 3; count++) await ci.done('pub home:release/app')
    await both.down()
    rmSync(vault, { recursive: true })
    cpSync(copy, vault, { recursive: true })
    chmodSync(vault, 0o700)
    await both.up()
    const { exit, stderr } = await ci.run('pub home:release/app')
    expect(exit).toBe(11)
    expect(stderr).toContain('error: cannot trust home: its vault is older than it was: ')
    expect(stderr).toContain(`forget what was seen: rm ${heads}\n`)
    rmSync(heads)
    await ci.done('pub home:release/app')
    writeFileSync(heads, 'no heads')
    expect((await ci.run('pub home:release/app')).exit).toBe(2)
    rmSync(heads)
  })

  test('12 limit: more requests than one peer may leave waiting', async () => {
    const { ci } = both
    const line = 'sign home:release/app --in app.tgz --no-wait'
    for (let count = 0; count < MOST_PENDING; count++) expect((await ci.run(line)).exit).toBe(5)
    expect((await ci.run(line)).exit).toBe(12)
    const { json } = await ci.done('request list --json')
    const open = (json.requests as { id: string; state: string }[]).filter(
      ({ state }) => state === 'pending',
    )
    for (const { id } of open) await ci.done(`request cancel home:${id}`)
    expect(await allApprovals(both.guard.owner)).toEqual([])
  })

  test('a blocked peer is denied, with what it waits for', async () => {
    const { ci, guard } = both
    const peer = await both.ciPeer()
    const signing = ci.run('sign home:release/app --in app.tgz')
    await both.asked()
    await guard.owner.blockPeer(peer, true)
    expect((await signing).exit).toBe(3)
    expect((await ci.run('pub home:release/app')).exit).toBe(3)
    await guard.owner.blockPeer(peer, false)
    await ci.done('pub home:release/app')
  })

  test('8 unreachable: a peer that closes its door and says nothing is not waited for', async () => {
    // Half a minute is short here.
    using other = new Machine(
      {},
      {
        nowMs: () => Date.now(),
        setTimer: (ms, fire) => systemClock.setTimer(ms === MAX_UNHEARD_MS ? 500 : ms, fire),
      },
    )
    await other.done(`peer add home ${both.node.addresses[0] ?? ''}`)
    const otherPeer = await peerOf(locateHome({ env: {}, cwd: other.cwd, userHome: '/' }, 'home'))
    both.node.block(otherPeer as typeof both.node.peer)
    const { exit, stderr } = await other.run('pub home:release/app')
    expect(exit).toBe(8)
    expect(stderr).toContain('error: cannot reach home: nothing was heard for 30 s\n')
    expect(stderr).toMatch(/hint: stronghold request wait home:q-[0-9a-f]{4}\n/)
    expect((await other.run('key list home:')).exit).toBe(8)
  })

  test('options of asking belong to another Stronghold', async () => {
    const { exit, stderr } = await both.ci.run('sign release/app --in app.tgz --wait 1m')
    expect(exit).toBe(2)
    expect(stderr).toContain('nobody is asked about the own vault')
    expect((await both.ci.run('sign home:release/app --in app.tgz --wait 2d')).exit).toBe(2)
  })
})
