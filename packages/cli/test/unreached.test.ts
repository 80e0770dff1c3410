/** A peer that was not reached, as it is told: the peer, the address, the layer, and what to type next. */
import type { StatusCode } from '@stronghold/core'
import { DoorError } from '@stronghold/guard/socket'
import { P2pError } from '@stronghold/p2p'
import type { Layer, P2pErrorInit } from '@stronghold/p2p'
import { expect, test } from 'vitest'

import { exitOf } from '../src/exits.ts'
import { nodeFault } from '../src/node/faults.ts'
import { unreached } from '../src/unreached.ts'

const PEER = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J' as NonNullable<
  P2pErrorInit['peer']
>
const RELAY = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN'
const AT = `/ip4/192.0.2.1/tcp/1/p2p/${PEER}`
const AT_RELAY = `/ip4/192.0.2.2/tcp/1/p2p/${RELAY}`

/** Code, layer, reason, where; the exit and the hint. */
const TOLD: readonly (readonly [StatusCode, Layer, string | undefined, string, number, string])[] =
  [
    ['unavailable', 'dial', undefined, AT, 8, 'see that it is up, there: stronghold status'],
    ['deadline_exceeded', 'dial', undefined, AT, 8, 'here: stronghold doctor'],
    ['unavailable', 'dial', undefined, AT_RELAY, 8, 'its relay is not up'],
    ['unauthenticated', 'security', undefined, AT, 8, 'somebody else may answer at that address'],
    ['invalid_argument', 'protocol', undefined, AT, 8, 'see that a Stronghold runs'],
    ['deadline_exceeded', 'relay', undefined, AT_RELAY, 8, 'see whether the relay is up'],
    ['unavailable', 'relay', 'no_reservation', AT_RELAY, 8, 'there: stronghold relay status'],
    ['unavailable', 'relay', 'connection_failed', AT_RELAY, 8, 'there: stronghold status'],
    ['permission_denied', 'relay', 'permission_denied', AT_RELAY, 8, 'stronghold relay allow PEER'],
    ['resource_exhausted', 'relay', 'resource_limit_exceeded', AT_RELAY, 8, 'relay quota PEER'],
    ['resource_exhausted', 'limit', undefined, AT, 12, 'wait a while'],
  ]

test.each(TOLD)('%s in layer %s, %s', (code, layer, reason, address, exit, hint) => {
  const init = { layer, peer: PEER, address: address as NonNullable<P2pErrorInit['address']> }
  const error = new P2pError(code, 'Cannot do it: so it is', {
    ...init,
    // What failed inside knew less.
    cause: new P2pError(code, 'Cannot do it: so it is', { layer }),
    ...(reason === undefined ? {} : { reason }),
  })
  const told = unreached(nodeFault(error, PEER), 'home')
  expect(exitOf(told.exit)).toBe(exit)
  expect(told.message).toBe('cannot reach home')
  expect(told.reason).toContain(`so it is (at ${address}, `)
  expect(told.reason).toContain(PEER)
  expect(told.reason).toContain(`layer ${layer}`)
  expect(told.hint).toContain(hint)
})

test('who is blocked is not away, and who is nowhere is said to be so once, by name or by id', () => {
  const blocked = new DoorError('permission_denied', `Cannot reach ${PEER}: it is blocked`, 'no')
  expect(unreached(blocked, 'home')).toMatchObject({
    exit: 'denied',
    hint: 'stronghold peer unblock home',
  })
  const nowhere = new DoorError('unavailable', `Cannot reach ${PEER}: no address is known`, 'no')
  expect(unreached(nowhere, 'home').hint).toContain('peer add home ADDRESS/p2p/PEER-ID')
  const byId = unreached(nowhere, PEER)
  expect(byId.reason).toBe('no address is known')
  expect(byId.hint).toContain(`stronghold peer add NAME ADDRESS/p2p/${PEER}`)
})

test('whoever means itself is told so', () => {
  const error = new P2pError('unavailable', 'Cannot dial 2 addresses: Can not dial self', {
    layer: 'dial',
    peer: PEER,
  })
  expect(unreached(nodeFault(error), 'me').hint).toContain('that is this Stronghold itself')
})
