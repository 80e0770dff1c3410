import { readFileSync, writeFileSync } from 'node:fs'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { step } from '../src/approvals.ts'
import type { Ask, Effect, RequestEvent, RequestState, Standing } from '../src/approvals.ts'

const ASK: Ask = { boundHash: 'b1', rule: 'r1', ruleHash: 'h1' }
const OTHER_KEY: Ask = { ...ASK, boundHash: 'b2' }
const OTHER_RULE: Ask = { ...ASK, ruleHash: 'h2' }

const STANDINGS: Readonly<Record<string, Standing>> = {
  allow: { verdict: 'allow' },
  deny: { verdict: 'deny' },
  'ask, the same': { verdict: 'ask', ask: ASK },
  'ask, of another key version': { verdict: 'ask', ask: OTHER_KEY },
  'ask, by another or a changed rule': { verdict: 'ask', ask: OTHER_RULE },
}

const STATES: Readonly<Record<string, RequestState | undefined>> = {
  'never seen': undefined,
  pending: { phase: 'pending', ask: ASK, claimed: true },
  'pending, a note': { phase: 'pending', ask: ASK, claimed: false },
  'approved, a note': { phase: 'approved', ask: ASK },
  'noted, a note': { phase: 'noted' },
  executed: { phase: 'executed', answer: 'kept' },
  'executed, answer gone': { phase: 'executed', answer: 'gone' },
  'denied by a rule': { phase: 'denied', by: 'rule' },
  'denied by a person': { phase: 'denied', by: 'person' },
  expired: { phase: 'expired' },
  canceled: { phase: 'canceled' },
}

/** Every event there is, by the words of the table. */
function everyEvent(): [string, string, RequestEvent][] {
  return [
    ...Object.entries(STANDINGS).flatMap(([words, standing]): [string, string, RequestEvent][] => [
      ['claim', words, { type: 'claim', standing }],
      ['note', words, { type: 'note', standing }],
      ['approve', words, { type: 'approve', boundHash: 'b1', standing }],
      ['reconsider', words, { type: 'reconsider', standing }],
    ]),
    [
      'approve what is not asked',
      '',
      { type: 'approve', boundHash: 'b9', standing: { verdict: 'allow' } },
    ],
    ['deny', '', { type: 'deny', boundHash: 'b1' }],
    ['deny what is not asked', '', { type: 'deny', boundHash: 'b9' }],
    ['cancel', '', { type: 'cancel' }],
    ['deadline', '', { type: 'deadline' }],
    ['acknowledge', '', { type: 'acknowledge' }],
  ]
}

function nameOf(state: RequestState): string {
  const found = Object.entries(STATES).find(
    ([, other]) => other?.phase === state.phase && JSON.stringify(other) === JSON.stringify(state),
  )
  if (found !== undefined) return found[0]
  // The table asks with one question; what asks again asks with another.
  if (state.phase === 'pending') return `pending${state.claimed ? '' : ', a note'}, asked anew`
  throw new Error(`no word for ${JSON.stringify(state)}`)
}

/** Every transition that means anything, as the table of the document. */
function table(): string {
  const rows = new Map<string, string[]>()
  for (const [from, state] of Object.entries(STATES)) {
    for (const [event, standing, value] of everyEvent()) {
      const transition = step(state, value)
      if (transition === undefined) continue
      const to = nameOf(transition.state)
      const key = `${from} | ${event} | ${to} | ${transition.effects.join(', ') || '–'}`
      rows.set(key, [...(rows.get(key) ?? []), ...(standing === '' ? [] : [standing])])
    }
  }
  const all = Object.keys(STANDINGS).length
  const lines = [...rows].map(([key, standings]) => {
    const [from = '', event = '', to = '', effects = ''] = key.split(' | ')
    const when =
      standings.length === 0 ? '' : standings.length === all ? 'any' : standings.join('; ')
    return `| ${from} | ${event} | ${when} | ${to} | ${effects} |`
  })
  return ['| From | Event | Rules say now | To | Then |', '|---|---|---|---|---|', ...lines].join(
    '\n',
  )
}

const DOCUMENT = new URL('../../../docs/approvals.md', import.meta.url)
const BEGIN = '<!-- transitions -->\n\n'
const END = '\n\n<!-- /transitions -->'

describe('step()', () => {
  it('does what the table of docs/approvals.md says, and nothing else', () => {
    const text = readFileSync(DOCUMENT, 'utf8')
    const [head = '', rest = ''] = text.split(BEGIN)
    const [stands = '', tail = ''] = rest.split(END)
    if (process.env['STRONGHOLD_WRITE_DOCS'] === '1') {
      writeFileSync(DOCUMENT, head + BEGIN + table() + END + tail)
      return
    }
    const plain = (rows: string): string => rows.replace(/ +\|/g, ' |').replace(/-+\|/g, '-|')
    expect(plain(stands)).toBe(plain(table()))
  })

  it('runs a request at most once, and only when rules or a person agreed to exactly that', () => {
    const asks = [ASK, OTHER_KEY, OTHER_RULE]
    const standing: fc.Arbitrary<Standing> = fc.oneof(
      fc.constant<Standing>({ verdict: 'allow' }),
      fc.constant<Standing>({ verdict: 'deny' }),
      fc.constantFrom(...asks).map((ask): Standing => ({ verdict: 'ask', ask })),
    )
    const boundHash = fc.constantFrom('b1', 'b2', 'b9')
    const event: fc.Arbitrary<RequestEvent> = fc.oneof(
      fc.record({ type: fc.constantFrom('claim', 'note', 'reconsider'), standing }),
      fc.record({ type: fc.constant('approve'), boundHash, standing }),
      fc.record({ type: fc.constant('deny'), boundHash }),
      fc.constantFrom<RequestEvent>(
        { type: 'cancel' },
        { type: 'deadline' },
        { type: 'acknowledge' },
      ),
    )
    let ran = 0
    fc.assert(
      fc.property(fc.array(event, { maxLength: 12 }), (events) => {
        let state: RequestState | undefined
        const effects: Effect[] = []
        let shown = 0
        let agreedTo: Ask | undefined
        for (const one of events) {
          const before = state
          const transition = step(state, one)
          if (transition === undefined) continue
          if (one.type === 'approve' && before?.phase === 'pending') agreedTo = before.ask
          state = transition.state
          effects.push(...transition.effects)
          if (transition.effects.includes('execute')) {
            const allowed = 'standing' in one && one.standing.verdict === 'allow'
            const asked =
              'standing' in one && one.standing.verdict === 'ask' ? one.standing.ask : undefined
            expect(
              allowed ||
                (asked !== undefined && JSON.stringify(asked) === JSON.stringify(agreedTo)),
            ).toBe(true)
            // Nothing runs for a note alone: the peer itself came.
            const came = one.type === 'claim' || (before?.phase === 'pending' && before.claimed)
            expect(came).toBe(true)
          }
          for (const effect of transition.effects) {
            if (effect === 'prompt') shown++
            if (effect === 'unprompt') shown--
          }
          expect(shown).toBe(state.phase === 'pending' ? 1 : 0)
        }
        const times = effects.filter((effect) => effect === 'execute').length
        expect(times).toBeLessThanOrEqual(1)
        ran += times
      }),
      { numRuns: 20_000 },
    )
    expect(ran).toBeGreaterThan(1000)
  })

  it('never leaves an end', () => {
    for (const [words, state] of Object.entries(STATES)) {
      if (state === undefined || ['pending', 'approved', 'noted'].includes(state.phase)) continue
      for (const [, , event] of everyEvent()) {
        const to = step(state, event)?.state.phase ?? state.phase
        expect(`${words}: ${to}`).toBe(`${words}: ${state.phase}`)
      }
    }
  })
})
