/** A partner that answers what it may not: the run ends, is written down, and nothing here is disturbed. */
import { concat } from '@stronghold/core'
import type { SyncChannel } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import type { SyncMessage, SyncReply } from '../../src/doors.ts'
import { encodeHead } from '../../src/heads.ts'
import { entriesOf } from '../../src/sync/difference.ts'
import { decodeBody, encodeBody } from '../../src/sync/messages.ts'
import type { SyncBody } from '../../src/sync/messages.ts'
import { channelInfo } from '../../src/sync/run.ts'
import { audit, create, partners, records, sync } from './two.ts'
import type { Two } from './two.ts'

const MARK = new Uint8Array(16)
const id = (last: string): string => '00'.repeat(15) + last
const ENTRIES = entriesOf([
  [id('01'), id('aa')],
  [id('02'), id('bb')],
])
const ALL = { kind: 'entries', mark: MARK, differ: Uint8Array.of(0x80) } as const
const LISTED: SyncBody = { ...ALL, entries: ENTRIES, more: false }
const GRAVE = { kind: 'removed', path: 'x', removedAtMs: 1, version: 1, last: id('cc') } as const

/** Answers as `away` would, from a script; what the script does not have is `stop`. */
function scripted(two: Two, script: Readonly<Partial<Record<SyncBody['kind'], SyncBody>>>) {
  const { home, away } = two
  let channel: SyncChannel | undefined
  return async (message: SyncMessage): Promise<SyncReply> => {
    const own = { peer: away.peer, vault: away.vault.head().vault }
    const other = { peer: home.peer, vault: home.vault.head().vault }
    if (message.kind === 'begin') {
      const nonce = new Uint8Array(16).fill(2)
      const nonces = concat([message.nonce, nonce])
      const partner = (await home.guard.owner.syncOwnKey()).key
      const { key } = await away.guard.owner.syncOwnKey()
      channel = away.vault.transaction((tx) =>
        tx.sync.channel({
          partner,
          sendInfo: channelInfo(own, other, nonces),
          receiveInfo: channelInfo(other, own, nonces),
        }),
      )
      const head = encodeHead(away.vault.head())
      const welcome = {
        kind: 'welcome',
        head,
        mode: 'two-way',
        merge: 'replace',
        count: 1,
      } as const
      const body = script.welcome ?? { ...welcome, paths: ['**'] }
      const sealed = channel.seal(encodeBody(body))
      return { state: 'begun', session: MARK, vault: own.vault, key, nonce, sealed }
    }
    if (message.kind !== 'step' || channel === undefined) throw new Error(message.kind)
    const { kind } = decodeBody(channel.open(message.sealed))
    const answer = script[kind] ?? { kind: 'stop', why: 'nothing more' }
    return { state: 'step', sealed: channel.seal(encodeBody(answer)) }
  }
}

const SCRIPTS: Readonly<Record<string, Readonly<Partial<Record<SyncBody['kind'], SyncBody>>>>> = {
  'no welcome': { welcome: { kind: 'more' } },
  'no entries': { list: { kind: 'more' } },
  'entries that do not rise': {
    list: { ...ALL, entries: concat([ENTRIES.subarray(32), ENTRIES.subarray(0, 32)]), more: false },
  },
  'the same entries again and again': {
    list: { ...ALL, entries: ENTRIES, more: true },
    more: { ...ALL, entries: ENTRIES, more: true },
  },
  'empty entries for ever': {
    list: { ...ALL, entries: new Uint8Array(), more: true },
    more: { ...ALL, entries: new Uint8Array(), more: true },
  },
  'entries of buckets that do not differ': {
    list: { ...ALL, differ: Uint8Array.of(0), entries: ENTRIES, more: false },
  },
  'another number of buckets': {
    list: { ...ALL, differ: new Uint8Array(99), entries: ENTRIES, more: false },
  },
  'records that nobody asked for': {
    list: LISTED,
    get: { kind: 'records', mark: MARK, records: [{ ...GRAVE, id: id('03') }], refused: [] },
  },
  'the same record twice': {
    list: LISTED,
    get: {
      kind: 'records',
      mark: MARK,
      records: [
        { ...GRAVE, id: id('01') },
        { ...GRAVE, id: id('01') },
      ],
      refused: [],
    },
  },
  'nothing of what was asked': {
    list: LISTED,
    get: { kind: 'records', mark: MARK, records: [], refused: [] },
  },
  'results of other records': {
    list: { ...ALL, entries: new Uint8Array(), more: false },
    put: { kind: 'results', results: [[id('07'), 'written', id('07')]] },
  },
  'no results': {
    list: { ...ALL, entries: new Uint8Array(), more: false },
    put: { kind: 'results', results: [] },
  },
}

describe('a hostile answerer', () => {
  it.each(Object.entries(SCRIPTS))('that says %s ends the run', async (_, script) => {
    await using two = await partners()
    await create(two.home, 'shared/kept')
    const before = await records(two.home)
    const answer = scripted(two, script)
    await expect(sync(two.home, two.away, { carry: answer })).rejects.toMatchObject({
      code: 'data_loss',
    })
    expect(await records(two.home)).toEqual(before)
    expect(JSON.stringify(await audit(two.home))).toContain('"stopped"')
    expect((await two.home.guard.owner.syncList())[0]).toMatchObject({ state: 'behind' })
  })

  it('that counts a record as written without having it does not count as in step', async () => {
    await using two = await partners()
    await create(two.home, 'shared/kept')
    const kept = two.home.vault.transaction((tx) => tx.sync.at('shared/kept')?.id ?? '')
    const answer = scripted(two, {
      list: { ...ALL, entries: new Uint8Array(), more: false },
      put: { kind: 'results', results: [[kept, 'written', id('ff')]] },
    })
    expect(await sync(two.home, two.away, { carry: answer })).toMatchObject({ inStep: false })
  })

  it('that says it has nothing takes nothing away', async () => {
    await using two = await partners()
    await create(two.home, 'shared/kept')
    const answer = scripted(two, {
      list: { ...ALL, entries: new Uint8Array(), more: false },
    })
    await expect(sync(two.home, two.away, { carry: answer })).rejects.toThrow()
    expect(await records(two.home)).toHaveLength(1)
  })
})
