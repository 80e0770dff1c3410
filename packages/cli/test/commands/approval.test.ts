/** What a person decides, as it is typed: over the owner's socket, with the token of a role. */
import { existsSync, renameSync, writeFileSync } from 'node:fs'

import { allApprovals } from '@stronghold/guard'
import type { WrittenRule } from '@stronghold/guard'
import { manualClock } from '@stronghold/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import type { KeysInit } from '../../src/io.ts'
import { MAX_APPROVED_MS, MIN_SHOWN_MS, NARROW_COLUMNS } from '../../src/limits.ts'
import { BOX, CI, KeptHome, signing, signingAs } from '../kept-home.ts'
import { Machine } from '../machine.ts'

let kept: KeptHome
const clock = manualClock(Date.now())
beforeAll(async () => {
  kept = await KeptHome.start({ clock })
})
afterAll(async () => {
  await kept[Symbol.asyncDispose]()
})
afterEach(async () => {
  await kept.clear()
})

describe('approval list, show', () => {
  test('print v and approvals as JSON, and what is asked for people', async () => {
    const { machine } = kept
    const empty = await machine.done('approval list --json')
    expect(empty.stdout).toBe('{"v":1,"approvals":[]}\n')
    const request = signing('v2.4.0\u001b[2J', { reason: 'because\u202e\n of it' })
    const { id, answer } = await kept.ask(CI, request)
    expect(answer).toBe('pending')
    const { json, stdout } = await machine.done('approval list --json')
    expect(Object.keys(json)).toEqual(['v', 'approvals'])
    expect(json.approvals).toMatchObject([
      {
        id,
        peerName: 'ci',
        reason: 'because\\u{202e}⏎ of it',
        rule: { id: 'r1' },
        steps: [{ procedure: 'sign', blind: false }],
        grantable: true,
      },
    ])
    expect(id).toMatch(/^a-[a-z2-7]{20}$/)
    expect(stdout).not.toContain('\u001b')
    const list = await machine.done('approval list', { columns: 80 })
    expect(list.stdout).toMatch(new RegExp(`${id} +\\d+:\\d\\d +ci +r1 +sign release/app`))
    const narrow = await machine.done('approval list', { columns: NARROW_COLUMNS - 20 })
    expect(narrow.stdout).toContain('\n  ci: sign release/app as sshsig:file\n')
    for (const named of ['', ` ${id}`, ` ${id.slice(0, 6)}`, ` ${id.slice(2, 6)}`]) {
      const { stdout: shown } = await machine.done(`approval show${named}`)
      expect(shown).toContain('why   │ because\\u{202e}⏎\n      │ of it')
      expect(shown).toContain('so says ci; nothing proves it')
      expect(shown).not.toContain('\u001b')
    }
    const { json: one } = await machine.done(`approval show ${id} --json`)
    expect(one).toMatchObject({ approval: { id } })
    expect(one.why[0]).toContain('a person is asked: by rule r1')
  })
})

describe('approve', () => {
  test('without an id takes the only one that waits, else lists them and does nothing', async () => {
    const { machine } = kept
    const none = await machine.run('approve')
    expect(none).toMatchObject({ exit: 9, stdout: '' })
    expect(none.stderr).toContain('nothing waits for a person')
    const first = await kept.ask()
    const second = await kept.ask(BOX, signing('other'))
    const several = await machine.run('approve')
    expect(several).toMatchObject({ exit: 2, stdout: '' })
    expect(several.stderr).toContain('2 wait: a-')
    expect(several.stderr).toContain('(box: sign release/app as sshsig:file)')
    expect(several.stderr).toContain('hint: name one: stronghold approve a-')
    expect(await kept.where(first.request)).toBe('pending')
    const ids = `${first.id} ${second.id} ${first.id.slice(0, 8)}`
    const { json } = await machine.done(`approve ${ids} --json`)
    expect(json.decided).toEqual([
      { id: first.id, state: 'executed', rememberedUntil: null },
      { id: second.id, state: 'executed', rememberedUntil: null },
    ])
    expect(await kept.where(first.request)).toBe('done')
    expect(await kept.where(second.request, BOX)).toBe('done')
    const again = await machine.run(`approve ${first.id}`)
    expect(again).toMatchObject({ exit: 9 })
    expect(again.stderr).toContain('it was decided, taken back or has expired')
    expect((await machine.run('approve a-3')).exit).toBe(2)
    expect((await machine.run('approve ../x')).exit).toBe(2)
  })

  test('all that are named or none: one that is gone takes the others along', async () => {
    const { machine } = kept
    const { id, request } = await kept.ask()
    expect((await machine.run(`approve ${id} a-zzzz`)).exit).toBe(9)
    expect(await kept.where(request)).toBe('pending')
  })

  test('decides once more by the rules of that moment: 3 where one denies it now, 5 where another asks', async () => {
    const { machine, keeper } = kept
    const { owner } = keeper
    await machine.done('key create timed/once')
    await machine.done('key create timed/again')
    const rule: Pick<WrittenRule, 'peers' | 'procedures' | 'effect'> = {
      peers: ['ci'],
      procedures: ['sign'],
      effect: 'ask',
    }
    // Nothing happens when a rule expires: whoever approves finds out.
    const expires = new Date(Date.now() + 1500)
    await owner.addRule({ ...rule, paths: ['timed/*'], expires })
    const added = await owner.addRule({ ...rule, paths: ['timed/again'] })
    const asked = async (key: string) => {
      const request = signing('v2.4.0')
      const steps = request.steps.map((one) => ({ ...one, input: { ...one.input, key } }))
      return await kept.ask(CI, { ...request, steps })
    }
    const [once, again] = [await asked('timed/once'), await asked('timed/again')]
    const explained = async (): Promise<string> =>
      (await owner.explainRequest({ peer: 'ci', use: 'sign', path: 'timed/once' })).verdict
    await expect.poll(explained, { timeout: 15_000 }).toBe('deny')
    const denied = await machine.run(`approve ${once.id}`)
    expect(denied.exit).toBe(3)
    expect(denied.stdout).toContain('not done: a rule denies it now')
    const pending = await machine.run(`approve ${again.id}`)
    expect(pending.exit).toBe(5)
    expect(pending.stdout).toContain('asked anew: a rule or the key has changed')
    const [anew] = await allApprovals(owner)
    expect(anew?.rule.id).toBe(added.id)
    expect((await machine.run(`approve ${anew?.id ?? ''}`)).exit).toBe(0)
  })

  test('--for remembers, as grant list tells, and is refused where nothing may be remembered', async () => {
    const { machine } = kept
    const { id } = await kept.ask()
    const { stdout } = await machine.done(`approve ${id} --for 1h`)
    expect(stdout).toMatch(/approved until 20\d\d-\d\d-\d\dT/)
    expect((await kept.ask(CI, signing('another'))).answer).toBe('done')
    expect((await kept.ask(BOX, signing('another'))).answer).toBe('pending')
    await kept.clear()
    const { json } = await machine.done('grant list --json')
    expect(json.grants).toMatchObject([{ use: 'sign', path: 'release/app', rule: 'r1' }])
    await machine.done(['grant', 'revoke', String(json.grants[0].id)])
    expect((await machine.done('grant list --json')).json.grants).toEqual([])
    const blind = await kept.ask(CI, signingAs('\u0000\u0001', 'raw'))
    expect(blind.answer).toBe('pending')
    const refused = await machine.run('approve --for 1h')
    expect(refused).toMatchObject({ exit: 2, stdout: '' })
    expect(refused.stderr).toContain('nobody can tell from the bytes what would be signed')
    expect(refused.stderr).toContain(`hint: stronghold approve ${blind.id} --once`)
    expect(await kept.where(blind.request)).toBe('pending')
  })

  test('MAX_APPROVED_MS: a day, no longer; and one of --once and --for', async () => {
    const { machine } = kept
    await kept.ask()
    const day = `${MAX_APPROVED_MS / 1000}s`
    await machine.done(`approve --for ${day} --dry-run`)
    const over = await machine.run(`approve --for ${MAX_APPROVED_MS / 1000 + 1}s`)
    expect(over).toMatchObject({ exit: 2 })
    expect(over.stderr).toContain('for longer than a day')
    expect((await machine.run('approve --once --for 1h')).exit).toBe(2)
    expect((await machine.run('approve --for soon')).exit).toBe(2)
  })

  test('--dry-run says what would be done, and nothing is', async () => {
    const { machine } = kept
    const { request } = await kept.ask()
    for (const line of ['approve --dry-run', 'deny --block --dry-run']) {
      expect((await machine.done(line)).stdout).toContain('would be ')
    }
    expect(await kept.where(request)).toBe('pending')
  })
})

describe('deny', () => {
  test('says no, to this one alone', async () => {
    const { machine } = kept
    const first = await kept.ask()
    const second = await kept.ask()
    await machine.done(`approval deny ${first.id}`)
    expect(await kept.where(first.request)).toBe('permission_denied denied_by_person')
    expect(await kept.where(second.request)).toBe('pending')
  })

  test('--block takes everything of the peer along', async () => {
    const { machine } = kept
    const first = await kept.ask(BOX)
    const second = await kept.ask(BOX)
    const { stdout } = await machine.done(`deny ${first.id} --block`)
    expect(stdout).toContain('denied, and the peer is blocked')
    expect(await allApprovals(kept.keeper.owner)).toEqual([])
    expect(await kept.keeper.network.standing(BOX)).toBe('blocked')
    await kept.keeper.owner.blockPeer(BOX.peer, false)
    expect(await kept.where(second.request, BOX)).toContain('permission_denied')
  })
})

test('what nobody decides is no answer, and nothing is done about it later', async () => {
  const { machine } = kept
  const { request } = await kept.ask(CI, signing('soon over', { timeoutMs: 300 }))
  const { id } = (await machine.done('approval list --json')).json.approvals[0]
  const answer = await kept.keeper.network.wait(CI, request.id)
  expect(answer).toMatchObject({ state: 'failed', reason: 'expired', ran: 'no' })
  expect(await machine.run(`approve ${id}`)).toMatchObject({ exit: 9 })
  const entries = (await machine.done('audit tail --json')).stdout
  expect(entries).toContain('expired')
  const about = (await kept.keeper.owner.auditEntries()).filter(({ event, facts }) => {
    return event === 'decision' && JSON.stringify(facts['id']) === JSON.stringify(request.id)
  })
  expect(about).toEqual([])
})

describe('an approver', () => {
  const admin = (): string => kept.machine.path('home', 'admin.token')
  const away = (): string => kept.machine.path('away.token')

  test('with nothing but its token decides, and changes no rule, peer, key or token', async () => {
    const { machine } = kept
    const { request } = await kept.ask()
    renameSync(admin(), away())
    try {
      expect((await machine.done('approval list')).stdout).toContain('sign release/app')
      expect((await machine.done('approval show')).stdout).toContain('who   ci')
      for (const line of [
        'rule add --peers ci --procedures sign --paths ** --effect allow',
        'rule remove r1',
        'rule list',
        'peer block ci',
        'key create other/key',
        'grant list',
        'token rotate admin',
        'audit tail',
      ]) {
        const { exit, stderr } = await machine.run(line)
        expect(`${line}: ${exit} ${stderr}`).toMatch(/: 3 .*this takes an admin/s)
      }
      expect(existsSync(admin())).toBe(false)
      await machine.done('approve')
      expect(await kept.where(request)).toBe('done')
    } finally {
      renameSync(away(), admin())
    }
    const [entry] = (await kept.keeper.owner.auditEntries()).filter(
      ({ event, facts }) => event === 'decision' && facts['by'] === 'approver',
    )
    expect(entry).toBeDefined()
  })

  test('--token-file shows a token from elsewhere, and unlocks nothing', async () => {
    const { machine } = kept
    await kept.ask()
    const [token] = ['home/approver.token']
    expect((await machine.done(`approval list --token-file ${token ?? ''}`)).stdout).toContain('ci')
    machine.write('wrong.token', `${'0'.repeat(64)}\n`)
    expect((await machine.run('approve --token-file wrong.token')).exit).toBe(7)
    expect((await machine.run('approve --token-file none')).exit).toBe(9)
    using other = await new Machine().init()
    const refused = await other.run('approval list --token-file home/approver.token')
    expect(refused).toMatchObject({ exit: 9 })
    expect(refused.stderr).toContain('no Stronghold runs in this home')
  })

  test('token rotate: what it was opens nothing from then on', async () => {
    const { machine } = kept
    const { readFileSync } = await import('node:fs')
    writeFileSync(machine.path('old.token'), readFileSync(machine.path('home', 'approver.token')), {
      mode: 0o600,
    })
    await machine.done('token rotate approver --dry-run')
    await machine.done('approval list --token-file old.token')
    const { json } = await machine.done('token rotate approver --json')
    expect(json.rotated).toEqual([
      { role: 'approver', path: machine.path('home', 'approver.token') },
    ])
    expect((await machine.run('approval list --token-file old.token')).exit).toBe(7)
    await machine.done('approval list --token-file home/approver.token')
    expect((await machine.done('token rotate --json')).json.rotated).toHaveLength(2)
    await machine.done('rule list')
    expect((await machine.run('token rotate owner')).exit).toBe(2)
  })
})

describe('approval watch', () => {
  test('without a terminal prints a line for each event, as JSON where that is wanted', async () => {
    const { machine, keeper } = kept
    const first = await kept.ask()
    const watching = machine.run('approval watch --json')
    await expect.poll(() => machine.printed).toContain(first.id)
    const second = await kept.ask(BOX)
    await keeper.owner.decide(
      [...(await allApprovals(keeper.owner))].map((one) => one.boundHash),
      'deny',
    )
    const third = await kept.ask()
    await expect.poll(() => machine.printed).toContain(third.id)
    machine.end()
    const { exit, json } = await watching
    expect(exit).toBe(0)
    const said = (json as Record<string, unknown>[]).map((line) => {
      const { event, id, approval } = line as {
        event: string
        id?: string
        approval?: { id: string }
      }
      return `${event} ${id ?? approval?.id ?? ''}`
    })
    expect(said).toEqual([
      `asked ${first.id}`,
      `asked ${second.id}`,
      `ended ${first.id}`,
      `ended ${second.id}`,
      `asked ${third.id}`,
    ])
  })

  test('in a terminal takes keys: approves, denies, leaves, and puts the terminal back', async () => {
    const { machine } = kept
    let keys: KeysInit | undefined
    let screen = ''
    let isOpen = 0
    machine.keys = (init) => {
      keys = init
      isOpen++
      return {
        columns: 80,
        rows: 30,
        show: (frame) => {
          screen = frame
        },
        [Symbol.dispose]: () => {
          isOpen--
        },
      }
    }
    try {
      const press = (text: string): void => {
        keys?.onBytes(new TextEncoder().encode(text))
      }
      const first = await kept.ask(CI, signing('watched'))
      const watching = machine.run('approval watch', { columns: 80 })
      const shows = async (text: string): Promise<void> => {
        await expect
          .poll(() => {
            clock.advance(MIN_SHOWN_MS)
            return screen
          })
          .toContain(text)
      }
      await shows('sign text for file')
      press('?')
      await shows('a person is asked: by rule r1')
      press('x')
      await shows('who')
      press('o')
      await shows('approved here once')
      expect(await kept.where(first.request)).toBe('done')
      const second = await kept.ask(BOX, signing('second'))
      await shows('box')
      press('d')
      await shows('denied here')
      expect(await kept.where(second.request, BOX)).toBe('permission_denied denied_by_person')
      press('q')
      const { exit, stdout } = await watching
      expect({ exit, isOpen }).toEqual({ exit: 0, isOpen: 0 })
      // What was decided stays to be read.
      expect(stdout).toMatch(/ci: approved here once · sign .*\n.*box: denied here/)
      screen = ''
      const ended = machine.run('approval watch', { columns: 80 })
      await shows('nothing waits')
      machine.end()
      expect((await ended).exit).toBe(0)
      expect(isOpen).toBe(0)
    } finally {
      machine.keys = undefined
    }
  })

  test('where nothing runs says so', async () => {
    using other = await new Machine().init()
    const { exit, stderr } = await other.run('approval watch')
    expect(exit).toBe(9)
    expect(stderr).toContain('hint: stronghold up')
  })
})

describe('approvals.confirm = "passphrase"', () => {
  test(
    'whoever approves types it again; whoever denies does not',
    { timeout: 30_000 },
    async () => {
      await using home = await KeptHome.start({
        passphrase: 'correct horse',
        confirmApprovals: true,
      })
      const { machine } = home
      const { request } = await home.ask()
      // That the configuration names a file proves nobody.
      const nobody = await machine.run('approve')
      expect(nobody).toMatchObject({ exit: 7, stdout: '' })
      const wrong = await machine.run('approve', { typed: 'wrong\n' })
      expect(wrong.exit).toBe(7)
      expect(machine.shown).toContain('Passphrase, to approve: ')
      expect(await home.where(request)).toBe('pending')
      await machine.done('approve', { typed: 'correct horse\n' })
      expect(await home.where(request)).toBe('done')
      await home.ask()
      await machine.done('approve --passphrase-file pass')
      await home.ask()
      await machine.done('deny')
      expect(await allApprovals(home.keeper.owner)).toEqual([])
    },
  )
})
