/**
 * Two Strongholds as real processes with a thousand records between them, reached directly and through a relay: killed at every
 * message, and beside a partner that says what it may not.
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Place, SOURCE_ENV } from '../stronghold.ts'
import { endless, HostilePartner, sixteen } from './hostile-partner.ts'
import type { Said } from './hostile-partner.ts'
import { act, create, partner, run, standing, Stronghold, told } from './strongholds.ts'

const LONG = { timeout: 600_000 }
const RECORDS = 1000
/** Each kill costs a start, and a list of a million entries its seconds. */
const IS_LONG = process.env['STRONGHOLD_LONG'] === '1'
const MESSAGES = ['begin', 'list', 'get', 'put'] as const

/** Of the private key 0x21, 32 times. */
const RECIPIENT = 'age10562fq2l56ucy567vzhnhkd5j4tgzcyq79jpl7qa9d7g46px3fzqc6tknl'
const IDENTITY = 'AGE-SECRET-KEY-1YYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSSZQ6SGM\n'
/** Whether a small disk may be made here, seen by one process alone. */
const mounts = spawnSync('unshare', ['-rm', 'true']).status === 0

const place = new Place()
let home: Stronghold
let away: Stronghold
let relay: string

const both = async (pattern: string): Promise<readonly Map<string, string>[]> => [
  await standing(home, pattern),
  await standing(away, pattern),
]
const sound = async (): Promise<void> => {
  for (const { owner } of [home, away]) expect((await owner.verifyAudit()).faults).toEqual([])
}

beforeAll(async () => {
  home = await Stronghold.make(place, 'home')
  away = await Stronghold.make(place, 'away')
  await partner(home, away, ['team/**', 'kill/**', 'more/**'])
  const relaying = place.start('relay', 'relay serve --json --listen /ip4/127.0.0.1/tcp/0')
  const { addrs } = JSON.parse(await relaying.line()) as { addrs: string[] }
  relay = addrs[0] ?? ''
}, 180_000)
afterAll(() => {
  place[Symbol.dispose]()
})

/** What is found, as soon as it is something. */
async function until(
  found: () => readonly string[] | Promise<readonly string[]>,
): Promise<readonly string[]> {
  const endMs = performance.now() + 60_000
  for (;;) {
    const names = await found()
    if (names.length > 0 || performance.now() > endMs) return names
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** From now on the other is reached through a relay, and in no other way. */
async function throughRelay(): Promise<void> {
  await away.end('SIGTERM')
  await away.up(`${relay}/p2p-circuit`)
  expect(away.addrs.every((address) => address.includes('/p2p-circuit/'))).toBe(true)
}

/** Both hold records; both edit, take away, and go on apart with one. All of it below a folder. */
async function thousand(folder: string): Promise<void> {
  const path = (side: string, at: number): string => `${folder}/${side}-${at}`
  await run(home, away)
  const half = Array.from({ length: RECORDS / 2 }, (_, at) => at)
  await create(
    home,
    half.map((at) => path('home', at)),
  )
  await create(
    away,
    half.map((at) => path('away', at)),
  )
  const first = await run(home, away)
  expect(first).toMatchObject({ inStep: true, sent: 500, received: 500, conflicts: 0, refused: 0 })
  const [ours, theirs] = await both(`${folder}/**`)
  expect(ours).toEqual(theirs)
  expect(ours?.size).toBe(RECORDS)

  const some = half.slice(0, 20)
  await act(
    home,
    'rotate',
    some.map((at) => ({ key: path('away', at) })),
  )
  await act(
    away,
    'rotate',
    some.map((at) => ({ key: path('home', at) })),
  )
  await act(
    home,
    'revoke',
    some.map((at) => ({ record: path('home', 100 + at) })),
  )
  await act(
    away,
    'revoke',
    some.map((at) => ({ record: path('away', 100 + at) })),
  )
  for (const side of [home, away]) await act(side, 'rotate', [{ key: path('home', 300) }])
  const [before, there] = await both(path('home', 300))
  expect(await run(home, away)).toMatchObject({
    inStep: false,
    ...{ sent: 20, received: 20, removedHere: 20, removedThere: 20, conflicts: 1, refused: 0 },
  })
  // The conflict keeps both; all else is the same.
  expect(await both(path('home', 300))).toEqual([before, there])
  const [here, beyond] = await both(`${folder}/**`)
  for (const all of [here, beyond]) all?.delete(path('home', 300))
  expect(here).toEqual(beyond)
  expect(here?.size).toBe(RECORDS - 41)
  await home.owner.syncResolve('away', { record: path('home', 300), keep: 'ours' })
  expect(await run(home, away)).toMatchObject({ inStep: true })
  expect((await both(path('home', 300)))[1]).toEqual(before)
  await sound()
}

/** Ends one of two with SIGKILL while a message is on its way to the partner, or its answer taken: at each in turn. */
async function killed(
  folder: string,
  messages: readonly number[],
  victims: readonly Stronghold[] = [away, home],
): Promise<void> {
  await create(home, [`${folder}/edited`, `${folder}/gone`])
  await run(home, away)
  for (const at of messages) {
    for (const victim of victims) {
      const name = `${folder}/${MESSAGES[at] ?? ''}-${victim.name}`
      await create(home, [`${name}-ours`])
      await create(away, [`${name}-theirs`])
      await act(home, 'rotate', [{ key: `${folder}/edited` }])
      const before = await both(`${folder}/**`)
      const killed = Promise.withResolvers<undefined>()
      const end = (now: number): void => {
        if (now === at) killed.resolve(victim.end('SIGKILL').then(() => undefined))
      }
      // It may be over already where the last message was on its way back.
      const going = run(home, away, victim === away ? { there: end } : { here: end })
      const over = going.catch(() => undefined)
      await killed.promise
      await victim.up()
      await over
      // Nothing is gone that nobody took away: each stands still where it stood.
      const after = await both(`${folder}/**`)
      for (const [side, records] of before.entries()) {
        for (const path of records.keys()) expect([...(after[side]?.keys() ?? [])]).toContain(path)
      }
      await sound()
      expect(await run(home, away), name).toMatchObject({ inStep: true, conflicts: 0 })
      const [ours, theirs] = await both(`${folder}/**`)
      expect(ours).toEqual(theirs)
      expect(ours?.has(`${name}-theirs`) === true && ours.has(`${name}-ours`)).toBe(true)
    }
  }
  await act(home, 'revoke', [{ record: `${folder}/gone` }])
  expect(await run(away, home)).toMatchObject({ inStep: true, removedHere: 1 })
}

describe('two Strongholds that reach each other directly', () => {
  test('keep a thousand records in step, with edits, removals and a conflict', LONG, async () => {
    await thousand('team/direct')
  })

  test(
    'are whole after a kill of either at any message, and the next run goes on',
    LONG,
    async () => {
      await killed('kill/direct', [0, 1, 2, 3])
    },
  )
})

describe('a hostile partner', () => {
  let evil: HostilePartner

  beforeAll(async () => {
    evil = await HostilePartner.open(place.path('evil'))
    await create(home, ['more/kept', 'own/secret'])
    await act(home, 'generate', [{ to: 'more/stays', type: 'ed25519' }])
    await home.owner.addPeer(evil.node.peer, 'evil')
    await home.owner.addRule({
      peers: ['evil'],
      procedures: ['sync:send', 'sync:receive', 'sync:remove'],
      paths: ['**'],
      effect: 'allow',
    })
    const pinned = evil.pinned()
    await home.owner.syncAdd({ name: 'evil', peer: 'evil', ...pinned, paths: ['more/**'] })
  }, 60_000)
  afterAll(async () => {
    await evil[Symbol.asyncDispose]()
  })

  test.each(['directly', 'through a relay'])(
    'is refused record by record, is written down, and disturbs nobody: %s',
    LONG,
    async (way) => {
      const relayed = way !== 'directly'
      const addresses = relayed ? await home.node.listen(`${relay}/p2p-circuit`) : home.addrs
      if (relayed) await evil.restart()
      const untouched = async (): Promise<string[]> => {
        const all = await standing(home, '**')
        return ['more/kept', 'more/stays', 'own/secret'].map((path) => all.get(path) ?? '')
      }
      const before = await untouched()
      const heard = (await told(home)).length
      // Somebody honest synchronises meanwhile.
      const tag = relayed ? 'relayed' : 'direct'
      const name = `more/honest-${tag}`
      await evil.create([`more/new-${tag}`, `more/edited-${tag}`, `own/other-${tag}`])
      await create(home, [name])
      const honest = run(home, away)

      const list = async () => {
        const begun = await evil.begin(home, addresses)
        const answer = await begun.say(begun.list())
        expect(answer['kind']).toBe('entries')
        return begun
      }
      const session = await list()
      const good = session.record(`more/new-${tag}`)
      const [version] = good['versions'] as [Said]
      const idOf = async (path: string): Promise<Uint8Array> => {
        const [found] = await home.owner.records(path)
        return found?.id ?? new Uint8Array()
      }
      const forged = (last: number, change: Said): Said => ({
        ...good,
        id: sixteen(last),
        ...change,
      })
      const removed = { removedAtMs: 1, version: 1, last: sixteen(1) }
      const bad: readonly (readonly [Said, string])[] = [
        // Labels that say it stays.
        [forged(1, { sync: false }), 'label'],
        [{ ...good, id: await idOf('more/stays') }, 'label'],
        // Versions that are not what they say.
        [forged(2, { versions: [{ ...version, digest: sixteen(3) }] }), 'forged'],
        [forged(3, { versions: [version, version] }), 'forged'],
        [forged(4, { minimum: 9 }), 'forged'],
        [forged(5, {}), 'forged'],
        // Records for other paths.
        [session.record(`own/other-${tag}`), 'path'],
        [forged(6, { path: 'more/../own/x' }), 'path'],
        [{ id: await idOf('own/secret'), path: 'more/x', ...removed }, 'path'],
        [{ id: await idOf('more/kept'), path: 'more/kept', ...removed }, 'conflict'],
        [good, 'written'],
      ]
      const outcomes = await session.put(bad.map(([record]) => record))
      expect(outcomes).toEqual(bad.map(([, outcome]) => outcome))
      const secret = await session.say({
        kind: 'get',
        ids: await idOf('own/secret'),
        secrets: true,
      })
      expect(secret).toMatchObject({ records: [], refused: [[expect.anything(), 'path']] })

      // A record as it was, after it was taken away: it stays away.
      const edited = session.record(`more/edited-${tag}`)
      expect(await session.put([edited])).toEqual(['written'])
      await act(home, 'revoke', [{ record: `more/edited-${tag}` }])
      const again = session.seal({ kind: 'put', mark: sixteen(8), records: [edited] })
      expect(await session.sealed(again)).toMatchObject({ state: 'step' })
      expect((await standing(home, '**')).has(`more/edited-${tag}`)).toBe(false)
      // A message that was said: not in this run, not in the next.
      expect(await session.sealed(again)).toMatchObject({ code: 'unauthenticated' })
      const other = await evil.begin(home, addresses)
      expect(await other.sealed(again)).toMatchObject({ code: 'unauthenticated' })
      // Ids and messages that are too many or too long.
      const many = new Uint8Array(16 * 257)
      for (let at = 0; at < 257; at++) many.set(sixteen(at), 16 * at)
      const long = await list()
      const get = long.seal({ kind: 'get', ids: many, secrets: true })
      expect(await long.sealed(get)).toMatchObject({ code: 'invalid_argument' })
      // A list without an end, told to whoever asks: of ever new ids, or of the same again.
      const victim = { peer: home.peer, ...(await home.owner.syncOwnKey()) }
      const entries = endless()
      const same = entries.next().value
      let lists = 0
      const answering = evil.answer(victim, () => {
        lists++
        return relayed || !IS_LONG ? same : entries.next().value
      })
      const asked = run(home, { peer: evil.node.peer, name: 'evil', addrs: evil.node.addresses })
      await expect(asked).rejects.toMatchObject({ code: 'data_loss' })
      expect(lists).toBeLessThan(relayed || !IS_LONG ? 3 : 330)
      answering[Symbol.dispose]()

      expect(await honest).toMatchObject({ conflicts: 0, refused: 0 })
      expect(await run(home, away)).toMatchObject({ inStep: true })
      expect((await standing(away, name)).size).toBe(1)
      expect(await untouched()).toEqual(before)
      const words = new Set((await told(home)).slice(heard).map(([what]) => what))
      for (const what of ['label', 'forged', 'path', 'conflict', 'stopped']) {
        expect([...words]).toContain(what)
      }
      await sound()
    },
  )
})

describe('two Strongholds that reach each other through a relay', () => {
  beforeAll(throughRelay, 60_000)

  test('keep a thousand records in step, with edits, removals and a conflict', LONG, async () => {
    await thousand('team/relayed')
  })

  test('are whole after a kill of either, and the next run goes on', LONG, async () => {
    await (IS_LONG ? killed('kill/relayed', [0, 1, 2, 3]) : killed('kill/relayed', [3], [away]))
  })
})

describe('two Strongholds that synchronise by themselves', () => {
  test.each([
    ['after a change', { onChange: true }, {}],
    ['on a schedule', {}, { everyMs: 1000 }],
  ])('do so %s', LONG, async (how, ours, theirs) => {
    const sides = [
      [home, away, ours],
      [away, home, theirs],
    ] as const
    for (const [side, { name, peer, owner }, when] of sides) {
      const { vault, key } = await owner.syncOwnKey()
      await side.owner.syncRemove(name)
      await side.owner.syncAdd({ name, peer, vault, key, paths: ['more/**'], ...when })
    }
    const path = `more/${how.replaceAll(' ', '-')}`
    await create(home, [path])
    expect(await until(async () => [...(await standing(away, path)).keys()])).toEqual([path])
    for (const { owner } of [home, away]) {
      const shown = await until(async () => {
        const states = (await owner.syncList()).map(({ state }) => state)
        return states.includes('in-step') ? states : []
      })
      expect(shown).toContain('in-step')
    }
  })
})

describe('backups of a Stronghold that runs', () => {
  const kept = (): string[] =>
    readdirSync(place.path('kept'))
      .filter((name) => name.endsWith('.age'))
      .sort()

  beforeAll(async () => {
    mkdirSync(place.path('kept'))
    writeFileSync(place.path('key.txt'), IDENTITY, { mode: 0o600 })
    await home.end('SIGTERM')
    const settings = `every = "1s"\nkeep = 2\nrecipients = ["${RECIPIENT}"]\n`
    const config = place.path('home', 'config.toml')
    appendFileSync(config, `[backup]\ndirectory = "../kept"\n${settings}`)
    await home.up()
  }, 60_000)

  test('are written by themselves, the oldest go, and one is proven by a drill', LONG, async () => {
    const [first] = await until(kept)
    await until(() => (kept().includes(first ?? '') ? [] : kept()))
    expect(kept().length).toBeLessThanOrEqual(3)
    expect(home.done('status').stdout).toMatch(/^backup .*, a restore never proven/m)
    const from = place.path('one.age')
    const reader = { by: 'recipients', recipients: [RECIPIENT] } as const
    const opener = { by: 'identity-file', path: place.path('key.txt') } as const
    const { signal } = new AbortController()
    for await (const _ of home.owner.backupCreate({ to: from, for: reader }, { signal }));
    for await (const turn of home.owner.backupDrill({ from, opener }, { signal })) {
      if (turn.state !== 'done') continue
      const { live, covered, restored } = turn.result
      expect([live, restored]).toEqual([covered, covered])
      expect(covered).toBeGreaterThan(0)
    }
    expect(home.done('status').stdout).toMatch(/^backup .*, a restore proven 20/m)
  })

  test.skipIf(!mounts)(
    'end with one sentence where the disk is full, and leave no file',
    LONG,
    async () => {
      await home.end('SIGTERM')
      mkdirSync(place.path('full'))
      const command = ['backup', 'create', '--recipient', RECIPIENT, '--passphrase-file', 'pass']
      const words = place.args('home', [...command, '--to', 'full/one.age'])
      const script = 'mount -t tmpfs -o size=16k none full && "$@"; code=$?; ls -A full; exit $code'
      const ended = spawnSync(
        'unshare',
        ['-rm', 'sh', '-c', script, 'sh', process.execPath, ...words],
        {
          cwd: place.folder,
          env: SOURCE_ENV,
          encoding: 'utf8',
        },
      )
      expect(ended.stdout).toBe('')
      expect(ended.stderr).toContain('error: cannot write backup: the disk is full\n')
      expect(ended.stderr).toContain('hint: make room where the backup goes')
      expect(ended.status).toBe(13)
      // What it had stands, and the next one goes well.
      home.done([...command, '--to', 'two.age'])
      home.done('audit verify --passphrase-file pass')
    },
  )
})
