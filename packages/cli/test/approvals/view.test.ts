import { describe, expect, it } from 'vitest'

import { columnsOf, cutTo, fold } from '../../src/approvals/fold.ts'
import { firstView, screenOf, stateText, update } from '../../src/approvals/view.ts'
import type { ViewEffect, ViewEvent, ViewState } from '../../src/approvals/view.ts'
import { MAX_WATCHED, MAX_WATCHED_ENDED, MIN_SHOWN_MS } from '../../src/limits.ts'
import { asked, ASKED_AT_MS } from './asked.ts'

const START = firstView({ title: '/home/ann', leaves: 'q', columns: 80, rows: 30 })

/** A view that is fed, with a clock of its own. */
class Fed {
  state: ViewState
  nowMs = ASKED_AT_MS
  effects: readonly ViewEffect[] = []

  constructor(state: ViewState = START) {
    this.state = state
  }

  feed(...events: readonly ViewEvent[]): this {
    for (const event of events) {
      const { state, effects } = update(this.state, event, this.nowMs)
      this.state = state
      this.effects = effects
    }
    return this
  }

  /** Presses keys when all that is shown has been there for long enough. */
  press(...keys: readonly string[]): this {
    this.nowMs += MIN_SHOWN_MS
    return this.feed(...keys.map((key) => ({ type: 'key', key }) as const))
  }

  get screen(): string {
    return screenOf(this.state, this.nowMs).join('\n')
  }
}

const standing = (
  approvals: ViewState['approvals'],
  other: { isLocked?: boolean; confirms?: boolean } = {},
): ViewEvent => ({ type: 'standing', approvals, isLocked: false, confirms: false, ...other })

describe('the view', () => {
  it('shows who, what, why, which rule and how long', () => {
    const { screen } = new Fed().feed(standing([asked(1)]))
    expect(screen).toMatchInlineSnapshot(`
      "1 waits for a person                                                   /home/ann

      a-aeaqcaibaeaqcaibaeaq
      who   ci
            12D3KooWCi111111111111111111111111111111111111111111
            connected: /ip4/192.0.2.7/tcp/40112
      what  sign text for file
            with release/app, version 1
            as sshsig:file
            namespace  │ file
      why   │ v2.4.0
            so says ci; nothing proves it
      rule  r2: ci may, after a person agreed, use sign
      left  10:00 of 10:00














      [o]nce  [t]ime…  [d]eny  [b]lock  [?] why
      q leaves"
    `)
  })

  it('marks what nobody can read, in words', () => {
    const [step] = asked(1).steps
    const blind = { ...step, blind: true, title: 'sign bytes that nobody can read' } as const
    const view = new Fed().feed(standing([asked(1, { steps: [blind as never], grantable: false })]))
    expect(view.screen).toContain('BLIND: nobody can tell from these bytes what would be signed')
    expect(view.screen).not.toContain('[t]ime')
    expect(view.press('t').state.mode.kind).toBe('choose')
    expect(view.screen).toContain('this cannot be remembered')
  })

  it('decides once, for a time, denies, and blocks at the second key', () => {
    const approval = asked(1)
    const decided = (...keys: string[]): readonly ViewEffect[] =>
      new Fed().feed(standing([approval])).press(...keys).effects
    expect(decided('o')).toEqual([{ do: 'decide', decision: { approval, choice: 'once' } }])
    expect(decided('d')).toEqual([{ do: 'decide', decision: { approval, choice: 'deny' } }])
    expect(decided('b')).toEqual([])
    expect(decided('b', 'x')).toEqual([])
    expect(decided('b', 'b')).toEqual([
      { do: 'decide', decision: { approval, choice: 'deny-and-block' } },
    ])
    const forMs = (...keys: string[]): unknown => {
      const [effect] = decided('t', ...keys)
      return effect?.do === 'decide' ? effect.decision.forMs : undefined
    }
    expect(forMs('enter')).toBe(3_600_000)
    expect(forMs('9', 'backspace', '3', '0', 'm', 'enter')).toBe(1_800_000)
    expect(forMs('2', '4', 'h', 'enter')).toBe(86_400_000)
    expect(forMs('2', '5', 'h', 'enter')).toBeUndefined()
    expect(forMs('x', 'm', 'enter')).toBeUndefined()
    expect(forMs('1', 'h', 'escape', 'enter')).toBeUndefined()
  })

  it('MIN_SHOWN_MS: decides nothing that has only just appeared', () => {
    const view = new Fed().feed(standing([asked(1)]))
    view.nowMs += MIN_SHOWN_MS - 1
    for (const key of ['o', 'd']) {
      expect(view.feed({ type: 'key', key }).effects).toEqual([])
      expect(view.screen).toContain('only just appeared')
    }
    view.nowMs += 1
    expect(view.feed({ type: 'key', key: 'o' }).effects).toHaveLength(1)
    // The same for what comes in the place of one that has ended.
    const next = new Fed().feed(standing([asked(1), asked(2)]))
    next.press()
    next.feed({ type: 'ended', id: asked(1).id, state: 'expired' }, { type: 'key', key: 'o' })
    expect(next.effects).toEqual([])
    expect(next.press('o').effects).toMatchObject([{ decision: { approval: { id: asked(2).id } } }])
  })

  it('approves nothing before all of it was on the screen, and denies at any time', () => {
    const [step] = asked(1).steps
    const details = Array.from({ length: 32 }, (_, i) => ({ name: `n${i}`, value: `v${i}` }))
    const long = asked(1, { steps: [{ ...step, details } as never] })
    const view = new Fed().feed(standing([long]))
    expect(view.press('o').effects).toEqual([])
    expect(view.screen).toContain('there is more of it below: space shows it')
    expect(view.screen).toMatch(/── \d+ more lines: space ──/)
    expect(view.press('t', 'enter').effects).toEqual([])
    const shown = new Set<string>()
    for (let pages = 0; pages < 5; pages++) {
      for (const [, name = ''] of view.screen.matchAll(/ (n\d+) /g)) shown.add(name)
      view.press('space')
    }
    expect(shown.size).toBe(32)
    expect(view.press('o').effects).toHaveLength(1)
    expect(new Fed().feed(standing([long])).press('d').effects).toHaveLength(1)
    // A screen without a row for it shows nothing of it.
    const tiny = new Fed({ ...START, rows: 4 }).feed(standing([asked(1)]))
    expect(tiny.press('o').effects).toEqual([])
  })

  it('keeps what is chosen when others come and go', () => {
    const view = new Fed().feed(standing([asked(1), asked(2)]))
    view.press('j')
    expect(view.state.chosen).toBe(asked(2).id)
    view.feed(
      { type: 'asked', approval: asked(3) },
      { type: 'ended', id: asked(1).id, state: 'canceled' },
    )
    expect(view.state.chosen).toBe(asked(2).id)
    expect(view.screen).toContain('ci: taken back · sign release/app as sshsig:file')
    expect(view.press('down').state.chosen).toBe(asked(3).id)
    expect(view.press('j').state.chosen).toBe(asked(3).id)
    expect(view.press('k', 'up').state.chosen).toBe(asked(2).id)
    view.feed(standing([]))
    expect(view.state.chosen).toBeUndefined()
    expect(view.screen).toContain('nothing waits for a person')
    expect(view.press('o', 'd', 't', 'b', 'b', '?').effects).toEqual([])
  })

  it('what is typed about one that has ended is about no other', () => {
    const view = new Fed().feed(standing([asked(1), asked(2)])).press('t', '5')
    view.feed({ type: 'ended', id: asked(1).id, state: 'denied' })
    expect(view.state.mode).toEqual({ kind: 'choose' })
    expect(view.press('enter').effects).toEqual([])
  })

  it('asks for the passphrase before it approves, not before it denies', () => {
    const view = new Fed().feed(standing([asked(1)], { confirms: true }))
    expect(view.press('o')).toMatchObject({ effects: [], state: { mode: { kind: 'secret' } } })
    expect(view.screen).toContain('passphrase')
    // Keys are the passphrase's now.
    expect(view.press('d').effects).toEqual([])
    expect(view.feed({ type: 'unsaid' }).screen).toContain('nothing was decided')
    expect(view.press('d').effects).toMatchObject([{ decision: { choice: 'deny' } }])
  })

  it('decides nothing while the vault is locked', () => {
    const view = new Fed().feed(standing([asked(1)], { isLocked: true }))
    expect(view.screen).toContain('locked: nothing can be decided')
    expect(view.press('o').effects).toEqual([])
  })

  it('tells of a decision once, by what came of it', () => {
    const view = new Fed().feed(standing([asked(1)])).press('o')
    const decision = { approval: asked(1), choice: 'once' } as const
    view.feed({ type: 'ended', id: asked(1).id, state: 'executed' })
    view.feed({ type: 'decided', decision, said: 'approved here once' })
    expect(view.state.ended).toMatchObject([{ state: 'approved here once', isHere: true }])
    const failed = new Fed().feed(standing([asked(1)])).press('o')
    failed.feed({ type: 'failed', message: 'cannot decide: nothing such is pending' })
    expect(failed.screen).toContain('cannot decide: nothing such is pending')
    expect(failed.state.mode.kind).toBe('choose')
  })

  it('explains the rules at ?, of the one that is chosen', () => {
    const view = new Fed().feed(standing([asked(1)])).press('?')
    expect(view.effects).toMatchObject([{ do: 'explain' }])
    view.feed({ type: 'explained', id: asked(2).id, text: ['of another'] })
    expect(view.screen).not.toContain('of another')
    view.feed({ type: 'explained', id: asked(1).id, text: ['a person is asked: by rule r2'] })
    expect(view.screen).toContain('a person is asked: by rule r2')
    // What was shown in its place was not seen of it.
    expect(view.press('o')).toMatchObject({ effects: [], state: { mode: { kind: 'choose' } } })
  })

  it('leaves by q, where that ends no more than the view, and by ^C', () => {
    expect(new Fed().press('q').effects).toEqual([{ do: 'leave' }])
    const ofUp = new Fed({ ...START, leaves: 'ctrl-c' }).feed(standing([asked(1)]))
    expect(ofUp.press('q').effects).toEqual([])
    expect(ofUp.press('ctrl-c').effects).toEqual([{ do: 'leave' }])
    expect(ofUp.press('t', 'ctrl-c').effects).toEqual([{ do: 'leave' }])
  })

  it('MAX_WATCHED, MAX_WATCHED_ENDED: holds so many, and no more', () => {
    const many = Array.from({ length: MAX_WATCHED + 1 }, (_, n) =>
      asked(0, { id: `a-${n}`, expiresAtMs: ASKED_AT_MS + n }),
    )
    const view = new Fed().feed(standing(many))
    expect(view.state.approvals).toHaveLength(MAX_WATCHED)
    view.feed({ type: 'asked', approval: asked(1) })
    expect(view.state.approvals).toHaveLength(MAX_WATCHED)
    for (const { id } of many) view.feed({ type: 'ended', id, state: 'expired' })
    expect(view.state.ended).toHaveLength(MAX_WATCHED_ENDED)
  })

  it.each([
    [20, 8],
    [40, 24],
    [60, 12],
    [80, 24],
    [200, 60],
  ])('fits %i columns and %i rows, whatever is asked', (columns, rows) => {
    const [step] = asked(1).steps
    const wide = '日本語 \\u{202e}⏎ ' + 'x'.repeat(300)
    const details = [{ name: 'a very long name of a detail', value: wide }]
    const all = Array.from({ length: 12 }, (_, n) =>
      asked(n, {
        reason: wide,
        steps: [step as never, { ...step, title: wide, details } as never],
      }),
    )
    const view = new Fed({ ...START, columns, rows }).feed(standing(all))
    for (const key of ['j', 'space', 'space', 't', 'escape', 'b', 'x', 'k', 'o', 'd']) {
      const lines = screenOf(view.press(key).state, view.nowMs)
      expect(lines.length).toBeLessThanOrEqual(rows)
      for (const line of lines) expect(columnsOf(line), line).toBeLessThanOrEqual(columns)
    }
  })
})

describe('fold(), cutTo()', () => {
  it('break at spaces, behind ⏎, and within what is longer than a line', () => {
    expect(fold('one two three', 8)).toEqual(['one two', 'three'])
    expect(fold('one⏎two', 20)).toEqual(['one⏎', 'two'])
    expect(fold('abcdefghij', 4)).toEqual(['abcd', 'efgh', 'ij'])
    expect(fold('日本語', 4)).toEqual(['日本', '語'])
    expect(fold('', 4)).toEqual([''])
    expect(cutTo('abcdef', 4)).toBe('abc…')
    expect(cutTo('日本語', 4)).toBe('日…')
    expect(cutTo('abcd', 4)).toBe('abcd')
  })
})

it('every phase has a word', () => {
  const phases = ['pending', 'approved', 'executed', 'noted', 'denied', 'expired', 'canceled']
  expect(new Set(phases.map(stateText)).size).toBe(phases.length)
  expect(stateText('of-a-later-version')).toBe('of-a-later-version')
})
