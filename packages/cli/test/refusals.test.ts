/** What a vault elsewhere refuses, as it is told: one sentence, the exit code, the next command. */
import type { StatusCode } from '@stronghold/core'
import { expect, test } from 'vitest'

import { exitOf } from '../src/exits.ts'
import { refusal } from '../src/refusals.ts'

const ASKING = {
  name: 'home',
  what: 'sign on release/app',
  back: 'home:q-7f3a',
  again: 'stronghold sign home:release/app --request-id 7f3a',
  homePath: '/h',
}

/** Code and reason; exit, sentence and hint. */
const TOLD: readonly (readonly [StatusCode, string | undefined, number, string, string])[] = [
  ['permission_denied', 'denied_by_rule', 3, 'home denied sign', 'stronghold key list home:'],
  ['permission_denied', 'denied_by_person', 4, 'a person at home denied', 'ask them'],
  ['deadline_exceeded', 'expired', 6, 'nobody at home decided on sign', '--wait 1h'],
  ['canceled', 'canceled', 6, 'sign on release/app was taken back', 'ask again'],
  ['failed_precondition', 'locked', 7, 'home cannot answer', 'unlock; here: stronghold sign'],
  ['unavailable', 'layer_dial', 8, 'cannot reach home', 'stronghold peer connect home'],
  ['unavailable', 'closed_at_once', 8, 'cannot ask home for sign', 'there: stronghold peer list'],
  ['unauthenticated', 'layer_security', 8, 'cannot reach home', 'stronghold peer connect home'],
  ['invalid_argument', 'layer_protocol', 8, 'cannot reach home', 'stronghold peer connect home'],
  // A relay's verdict is none of the peer's.
  [
    'permission_denied',
    'permission_denied',
    8,
    'cannot reach home',
    'stronghold peer connect home',
  ],
  ['failed_precondition', 'conflict', 10, 'home refused sign', '--request-id'],
  ['data_loss', 'answer_gone', 11, 'home has done sign', 'ask again'],
  ['data_loss', 'rolled_back', 11, 'its vault is older than it was', 'rm /h/heads.json'],
  ['data_loss', 'receipt_invalid', 11, 'cannot trust home', 'ask its owner'],
  ['resource_exhausted', undefined, 12, 'home cannot do sign', 'wait a while'],
  ['resource_exhausted', 'relay_bytes', 12, 'cannot ask home for sign', 'peer add home ADDRESS'],
  ['resource_exhausted', 'audit_unavailable', 13, 'home cannot do sign', 'wait a while'],
  ['unimplemented', 'layer_protocol', 3, 'home serves no vault to this', 'peer show home'],
  ['not_found', undefined, 9, 'home does not know the request', 'stronghold request list'],
  ['invalid_argument', undefined, 2, 'home cannot do sign', 'ask its owner'],
]

test.each(TOLD)('%s %s is told', (code, reason, exit, sentence, hint) => {
  const message = 'Cannot run request: so it is'
  const refused = { code, ran: 'no', message, ...(reason === undefined ? {} : { reason }) } as const
  const failure = refusal(refused, ASKING)
  expect(exitOf(failure.exit)).toBe(exit)
  expect(failure.message).toContain(sentence)
  expect(failure.hint).toContain(hint)
})

test('what may have been done is come back to, and text of others is on one line', () => {
  const refused = {
    code: 'unavailable',
    ran: 'maybe',
    message: 'Cannot dial "/ip4/1.2.3.4": refused\n\u001b[2J',
  } as const
  const { hint, reason } = refusal(refused, ASKING)
  expect(hint).toBe('stronghold request wait home:q-7f3a')
  expect(reason).toBe('refused⏎\\u{1b}[2J')
})

test('a door that is shut each time may have blocked this machine, and may open again', () => {
  const message = 'Cannot finish the request: the connection was closed (layer request)'
  const refused = { code: 'unavailable', ran: 'maybe', reason: 'closed_at_once', message } as const
  const failure = refusal(refused, ASKING)
  expect(failure.reason).toBe('home closes the connection at once')
  expect(failure.hint).toContain('stronghold peer list; if it opens again: stronghold request wait')
  expect(refusal(refused, { ...ASKING, back: undefined }).hint).not.toContain('request wait')
  expect(refusal({ ...refused, ran: 'no' }, ASKING).hint).not.toContain('request wait')
})

test('a rule that tells says which one it was', () => {
  const rule = { id: 'r1', note: 'not on Fridays' }
  const refused = {
    code: 'permission_denied',
    ran: 'no',
    reason: 'denied_by_rule',
    message: 'Cannot run request: denied',
    rule,
  } as const
  expect(refusal(refused, ASKING).reason).toBe('rule r1, not on Fridays')
})
