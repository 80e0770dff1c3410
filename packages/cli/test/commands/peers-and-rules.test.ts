/** Peers, rules, grants and the audit, as somebody types them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Machine } from '../machine.ts'

const CI = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
const NAS = '12D3KooWMVqmE7ddHsQPxUnimPzrJrFewrC8fenmsUzWeRzFBf9Z'

const OTHER = 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N'

/** The last of what a command printed. */
const last = (list: unknown): unknown => (list as unknown[]).at(-1)

let machine: Machine
beforeAll(async () => {
  machine = await new Machine().init()
  await machine.done('key create release/app')
  await machine.done(`peer add ci ${CI}`)
})
afterAll(() => {
  machine[Symbol.dispose]()
})

describe('peer', () => {
  test('add makes known, with no right', async () => {
    const { stdout, stderr } = await machine.done(
      `peer add nas /ip4/192.168.1.7/tcp/7430/p2p/${NAS} --tag backup`,
    )
    expect({ stdout, stderr }).toEqual({
      stdout: `nas  ${NAS}  known, may do nothing yet\n`,
      stderr: '',
    })
    expect((await machine.done('peer show nas --json')).json).toEqual({
      v: 1,
      peer: NAS,
      name: 'nas',
      known: true,
      blocked: false,
      tags: ['backup'],
      addresses: ['/ip4/192.168.1.7/tcp/7430'],
    })
  })

  test('an address without a peer id is refused', async () => {
    const { exit, stderr } = await machine.run('peer add x /ip4/192.168.1.7/tcp/7430')
    expect(exit).toBe(2)
    expect(stderr).toContain('the address does not end with the id of the peer')
  })

  test('a name that another peer has is a conflict', async () => {
    expect((await machine.run(`peer add ci ${NAS}`)).exit).toBe(10)
  })

  test('without anything that unlocks, add writes the book and says known after unlock', async () => {
    using locked = new Machine()
    await locked.done('init --key-file home.key')
    expect((await locked.done(`peer add ci ${CI}`)).stdout).toBe(`ci  ${CI}  known after unlock\n`)
    const unlocked = await locked.done('rule list --key-file home.key')
    expect(unlocked.stderr).toContain(
      `stronghold: note: ci waits to be known; if ${CI} is theirs: stronghold peer add ci ${CI}\n`,
    )
    const refused = await locked.run(
      'rule add --peers ci --procedures pub --paths a --effect ask --key-file home.key',
    )
    expect(refused.exit).toBe(9)
    expect(refused.stderr).toContain('stronghold peer list')
    await locked.done(`peer add ci ${CI} --key-file home.key`)
    expect((await locked.done('rule list --key-file home.key')).stderr).not.toContain('waits')
  })

  test('block counts at once in the book, and in the vault at the next unlock', async () => {
    using locked = new Machine()
    await locked.done('init --key-file home.key')
    await locked.done(`peer add ci ${CI} --key-file home.key`)
    expect((await locked.done('peer block ci')).stdout).toBe(
      'ci  blocked, in the vault at the next unlock\n',
    )
    await locked.done('key list --key-file home.key')
    const { json } = await locked.done('audit query --event peer --json --key-file home.key')
    expect(last(json.entries)).toMatchObject({ facts: { change: 'blocked', peer: CI } })
  })

  test('rename, tag, block, unblock and remove', async () => {
    await machine.done(`peer add other ${OTHER}`)
    await machine.done('peer rename other build')
    await machine.done('peer tag build @a b')
    await machine.done('peer block build')
    const shown = await machine.done('peer show build --json')
    expect(shown.json).toMatchObject({ peer: OTHER, tags: ['a', 'b'], blocked: true })
    await machine.done('peer unblock build')
    await machine.done('peer remove build')
    expect((await machine.run('peer show build')).exit).toBe(9)
    expect((await machine.done('peer list')).stdout).not.toContain('build')
  })

  test('a book of another shape is refused, and kept', async () => {
    using broken = new Machine()
    await broken.done(`peer add ci ${CI}`)
    writeFileSync(broken.path('home', 'peers.json'), '{"v":1,"peers":[{"peer":"x"}]}')
    const { exit, stderr } = await broken.run('peer list')
    expect(exit).toBe(2)
    expect(stderr).toContain('it is no peer book')
    expect(readFileSync(broken.path('home', 'peers.json'), 'utf8')).toContain('"x"')
  })

  test('knocks are none without a network', async () => {
    expect((await machine.done('peer knocks --json')).json).toEqual({ v: 1, knocks: [] })
  })
})

describe('rule', () => {
  test('add says the rule as a sentence with its place, and what it changes', async () => {
    const added = await machine.done(
      'rule add --peers ci --procedures pub --paths release/** --effect allow',
    )
    expect(added.stdout).toBe(
      'r1 (1 of 1)  ci may use pub under release/**\n    widens\n' +
        '    ci: pub on release/any is allowed, before it is denied\n',
    )
    const second = await machine.done([
      ...'rule add --peers ci --procedures sign --paths release/** --formats sshsig'.split(' '),
      ...'--effect ask --limit 10/day --limit 3/5m --note'.split(' '),
      'a person looks',
    ])
    expect(second.stdout).toContain('r2 (2 of 2)  ci may, after a person agreed, use sign under')
    const { stdout } = await machine.done('rule list')
    expect(stdout.split('\n').every((line) => line.length <= 80)).toBe(true)
    expect(stdout).toContain('# a person looks')
  })

  test('a rule that an earlier one leaves nothing to decide is told', async () => {
    const { json } = await machine.done(
      'rule add --peers ci --procedures pub --paths release/app --effect allow --dry-run --json',
    )
    expect(json).toMatchObject({ shadowedBy: 'r1', done: false })
    expect((await machine.done('rule list --json')).json.rules).toHaveLength(2)
  })

  test('test and explain tell the verdict, and what would be needed', async () => {
    const asked = 'sign release/app --format sshsig:file'
    expect((await machine.done(`rule test ci ${asked}`)).stdout).toBe('ask\n')
    expect((await machine.done(`rule test ci ${asked} --expect ask`)).exit).toBe(0)
    const { exit, stderr } = await machine.run(`rule test ci ${asked} --expect allow`)
    expect(exit).toBe(11)
    expect(stderr).toContain('expected allow: a person is asked: by rule r2')
    const { stdout } = await machine.done('rule explain ci sign release/app --format raw')
    expect(stdout).toContain('denied: no rule is about sign on release/app as raw')
    expect(stdout).toContain('r2 comes close: it asks, but only as sshsig')
    expect(stdout).toContain(
      "stronghold rule add --peers ci --procedures sign --paths 'release/app'",
    )
  })

  test('edit, move and remove, each tried first', async () => {
    const tried = await machine.done('rule edit r1 --effect deny --dry-run')
    expect(tried.stdout).toContain('would tighten')
    expect((await machine.done('rule show r1 --json')).json.effect).toBe('allow')
    await machine.done('rule edit r2 --clear limits --clear note')
    const { json } = await machine.done('rule show r2 --json')
    expect(json).not.toHaveProperty('limits')
    await machine.done('rule move r2 --first')
    expect((await machine.done('rule show r2 --json')).json.position).toBe(1)
    expect((await machine.run('rule move r2 --first --before r1')).exit).toBe(2)
    expect((await machine.run('rule show r9')).exit).toBe(9)
  })

  test('stands where it was put, ends when it was said to, and is as it was told', async () => {
    const mine = '--procedures pub --paths x/** --effect'
    const put = async (rest: string): Promise<unknown> =>
      (await machine.done(`rule add ${mine} ${rest} --json`)).json
    expect(await put('allow --peers known --first --id mine')).toMatchObject({
      ...{ id: 'mine', position: 1, of: 3 },
    })
    const before = await put(
      'ask --peers @t --before r1 --limit 1/day --when-used-up next --expires 90d --tell',
    )
    expect(before).toMatchObject({ position: 3, of: 4 })
    const id = (before as { id: string }).id
    const { json } = await machine.done(`rule show ${id} --json`)
    expect(json).toMatchObject({ peers: ['@t'], when_used_up: 'next', tell: true })
    const days = (Date.parse(String(json.expires)) - Date.now()) / 86_400_000
    expect(Math.round(days)).toBe(90)
    const wrong = await machine.run(`rule add ${mine} ask --peers ci --first --before r1`)
    expect(wrong.exit).toBe(2)
    await machine.done(
      `rule edit ${id} --peers ci --paths y --limit 2/hour --expires 1d --note why`,
    )
    expect((await machine.done(`rule show ${id} --json`)).json).toMatchObject({
      ...{ paths: ['y'], limits: ['2/hour'], note: 'why', when_used_up: 'next' },
    })
    for (const one of ['mine', id]) await machine.done(`rule remove ${one}`)
  })

  test('what is only tried changes nothing, whichever command tries', async () => {
    const state = async (): Promise<string> =>
      [
        (await machine.done('rule export')).stdout,
        (await machine.done('key list --json')).stdout,
        (await machine.done('peer list --json')).stdout,
        (await machine.done('store list --json')).stdout,
        (await machine.done('config show --json')).stdout,
        (await machine.done('audit query --event rule --json')).stdout,
      ].join('')
    const before = await state()
    machine.write('none.toml', '')
    for (const line of [
      'rule remove r1',
      'rule move r1 --first',
      'rule apply none.toml',
      'key create dry/run',
      'key rotate release/app',
      'key revoke release/app',
      'store set a b',
      `peer add more ${OTHER}`,
      'peer rename ci other',
      'peer tag ci t',
      'peer block ci',
      'peer remove ci',
      'config set audit.max_bytes 100000000',
      'sign release/app --in none.toml --out dry.sig',
    ]) {
      const { exit, stderr } = await machine.run(`${line} --dry-run`)
      expect(`${line}: ${exit} ${stderr}`).toBe(`${line}: 0 `)
    }
    expect(await state()).toBe(before)
    expect(existsSync(machine.path('dry.sig'))).toBe(false)
  })

  test('export, diff and apply: the same file changes nothing', async () => {
    const { stdout } = await machine.done('rule export')
    writeFileSync(machine.path('rules.toml'), stdout)
    expect((await machine.done('rule diff rules.toml --json')).json).toMatchObject({
      direction: 'same',
      done: false,
    })
    writeFileSync(machine.path('rules.toml'), stdout.replace('effect = "allow"', 'effect = "deny"'))
    expect((await machine.done('rule diff rules.toml')).stdout).toContain('would tighten')
    await machine.done('rule apply - --json', { stdin: readFileSync(machine.path('rules.toml')) })
    expect((await machine.done('rule show r1 --json')).json.effect).toBe('deny')
    writeFileSync(machine.path('rules.toml'), `${stdout}\n[[rule]]\nid = "r9"\n`)
    expect((await machine.run('rule apply rules.toml')).exit).toBe(2)
    const { json } = await machine.done('rule history r1 --json')
    expect((json.changes as { change: string }[]).map(({ change }) => change)).toEqual([
      'added',
      'edited',
    ])
  })

  test('what cannot be a rule says which field and what was meant', async () => {
    const { exit, stderr } = await machine.run(
      'rule add --peers ci --procedures sing --paths a --effect ask',
    )
    expect(exit).toBe(2)
    expect(stderr).toContain('unknown procedure "sing"; did you mean "sign"')
    const missing = await machine.run('rule add --peers ci --procedures sign --effect ask')
    expect(missing.stderr).toContain('cannot add the rule: --paths is missing')
  })
})

describe('grant', () => {
  test('none is there, and none can be revoked', async () => {
    expect((await machine.done('grant list --json')).json).toEqual({ v: 1, grants: [] })
    expect((await machine.run('grant revoke g1')).exit).toBe(9)
  })
})

describe('audit', () => {
  test('tells what was done, with which record, and never a secret', async () => {
    await machine.done('sign release/app --json', { stdin: 'audited' })
    const { json } = await machine.done('audit query --path release/app --json')
    expect(last(json.entries)).toMatchObject({
      event: 'owner',
      facts: { outcome: 'executed', use: [['sign', 'key', 'release/app', expect.any(String), 1]] },
    })
    const failed = await machine.done('audit query --outcome failed --event owner --json')
    expect(failed.json.entries).toEqual([])
    const named = await machine.done('audit query --peer ci --json')
    expect(last(named.json.entries)).toMatchObject({ facts: { peer: CI } })
    expect((await machine.done('audit tail --count 5')).stdout).toContain(
      'executed, sign:key release/app',
    )
    expect(
      (await machine.done('audit query --since 1h --event owner --json')).json.entries,
    ).not.toEqual([])
  })

  test('query --peer: a name that nobody has is told, and a peer that was removed is found by its id', async () => {
    const gone = '12D3KooWRm8J3iL796zPFi2EtGGtUJn58AG67gcqzMFHCnV6yqaT'
    await machine.done(`peer add left ${gone}`)
    const before = (await machine.done('audit query --peer left --json')).json.entries
    expect(last(before)).toMatchObject({ event: 'peer', facts: { peer: gone } })
    await machine.done('peer remove left')
    const unknown = await machine.run('audit query --peer left')
    expect(unknown).toMatchObject({ exit: 9, stdout: '' })
    expect(unknown.stderr).toContain('cannot find peer "left": there is none of that name or id')
    expect(unknown.stderr).toContain('hint: stronghold peer list')
    const { json } = await machine.done(`audit query --peer ${gone} --json`)
    expect(json.entries).toHaveLength((before.length as number) + 1)
    expect(last(json.entries)).toMatchObject({ facts: { change: 'removed', peer: gone } })
    // Where its id can be read.
    expect((await machine.done('audit query --event peer')).stdout).toMatch(
      new RegExp(`added, ${gone}.*name left`),
    )
    const nobody = gone.replace('qaT', 'qaU')
    expect((await machine.done(`audit query --peer ${nobody}`)).stderr).toContain('no entry fits')
  })

  test('verifies, and so does what is written out, without the vault', async () => {
    const { stdout } = await machine.done('audit verify')
    expect(stdout).toMatch(/^\d+ entries, none missing, changed or moved; the head is signed\n$/)
    await machine.done('audit export --out audit.jsonl')
    const lines = readFileSync(machine.path('audit.jsonl'), 'utf8').trimEnd().split('\n')
    const positions = lines.slice(0, -1).map((line) => JSON.parse(line).position as number)
    expect(positions).toEqual(positions.map((_, index) => index))
    expect((await machine.done('audit export')).stdout).toContain(`${lines[1] ?? ''}\n`)
    using elsewhere = new Machine()
    const { head } = JSON.parse(lines.at(-1) ?? '') as { head: { publicKey: string } }
    const from = `audit verify --from ${machine.path('audit.jsonl')}`
    const verified = await elsewhere.done(from)
    expect(verified.stdout).toBe(
      `${positions.length} entries, none missing, changed or moved; the head is signed\n`,
    )
    expect(verified.stderr).toContain(`signed by ${head.publicKey}`)
    const named = await elsewhere.done(`${from} --key ${head.publicKey} --json`)
    expect(named.json).toMatchObject({ entries: positions.length, signed: true, faults: [] })
    expect((await elsewhere.run(`${from} --key ${'00'.repeat(32)}`)).exit).toBe(11)
    writeFileSync(machine.path('audit.jsonl'), lines.toSpliced(2, 1).join('\n'))
    const lacking = await elsewhere.run(from)
    expect(lacking.exit).toBe(11)
    expect(lacking.stderr).toContain('missing')
    expect((await machine.run('audit verify --key 00')).exit).toBe(2)
  })

  test('is cut at a checkpoint, after being asked how much would go, and verifies on', async () => {
    using home = await new Machine().init()
    await home.done('key create release/app')
    const would = (await home.done('audit cut --dry-run --json')).json
    expect(would).toMatchObject({ dryRun: true, from: would.entries })
    expect((await home.done('audit cut --before 1d --json')).json.entries).toBe(0)
    // Each time it is unlocked, that is one entry more.
    const { json } = await home.done('audit cut --json')
    expect(json).toMatchObject({ dryRun: false, entries: Number(would.entries) + 2 })
    expect((await home.done('audit verify --json')).json).toMatchObject({ faults: [] })
    await home.done('audit export --out cut.jsonl')
    expect(readFileSync(home.path('cut.jsonl'), 'utf8')).toContain(
      `{"v":1,"position":${json.from},`,
    )
    await home.done('audit verify --from cut.jsonl')
  })

  test('a witness that is no head is refused', async () => {
    writeFileSync(machine.path('head'), 'junk')
    expect((await machine.run('audit verify --witness head')).exit).toBe(2)
  })

  test('what cannot be written into it is not done', async () => {
    using full = await new Machine().init()
    await full.done('config set audit.max_bytes 67108864')
    const { exit, stderr } = await full.run('key create release/app')
    expect(exit).toBe(13)
    expect(stderr).toContain('cannot write audit: it is full')
    await full.done('config set audit.max_bytes 1073741824')
    expect((await full.run('key show release/app')).exit).toBe(9)
  })
})
