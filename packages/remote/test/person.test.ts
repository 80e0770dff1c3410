/** What a person decides, or does not, as the one who asked sees it. */
import { sign } from '@stronghold/vault/catalog'
import { expect, test } from 'vitest'

import { ASK, asked, failure, served, text } from './served.ts'

const SIGNING = { key: 'release/app', message: text('v2.4.0') }

test('a denial keeps the connection, and the next request goes over it', async () => {
  await using all = await served({ rules: [ASK] })
  const denied = failure(all.remote.run(sign, SIGNING))
  const { boundHash } = await asked(all)
  const before = all.home.connections(all.away.peer).map(({ id }) => id)
  await all.guard.owner.decide([boundHash], 'deny')
  expect(await denied).toMatchObject({ reason: 'denied_by_person', ran: 'no' })
  const signed = all.remote.run(sign, SIGNING)
  const next = await asked(all)
  await all.guard.owner.decide([next.boundHash], 'once')
  expect(await signed).toHaveProperty('signature')
  expect(before).toHaveLength(1)
  expect(all.home.connections(all.away.peer).map(({ id }) => id)).toEqual(before)
})

test('an approval after the deadline signs nothing; that nobody answered is no answer', async () => {
  await using all = await served({ rules: [ASK] })
  const { owner } = all.guard
  const late = failure(all.remote.run(sign, SIGNING, { timeoutMs: 300 }))
  const { boundHash } = await asked(all)
  expect(await late).toMatchObject({ reason: 'expired', ran: 'no' })
  for (const choice of ['once', 'time', 'deny'] as const) {
    const options = choice === 'time' ? { forMs: 60_000 } : {}
    const decided = failure(owner.decide([boundHash], choice, options))
    expect(await decided).toMatchObject({ code: 'not_found' })
  }
  const entries = await owner.auditEntries()
  expect(entries.filter(({ event }) => event === 'decision')).toEqual([])
  const outcomes = entries.filter(({ event }) => event === 'request')
  expect(outcomes.map(({ facts }) => facts['outcome'])).toEqual(['asked', 'expired'])
  expect(await owner.grants()).toEqual([])
  // The same asked again is a question again.
  const again = failure(all.remote.run(sign, SIGNING))
  await owner.decide([(await asked(all)).boundHash], 'deny')
  expect(await again).toMatchObject({ reason: 'denied_by_person' })
})
