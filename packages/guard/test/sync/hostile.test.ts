/** A partner that holds its keys and says what it may not say: refused one by one, written down, nothing else disturbed. */
import { concat, encode, fromHex } from '@stronghold/core'
import type { SyncChannel } from '@stronghold/vault'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import type { SyncReply } from '../../src/doors.ts'
import { encodeHead } from '../../src/heads.ts'
import {
  MAX_PARTNERSHIPS,
  MAX_SYNC_MESSAGE_BYTES,
  MAX_SYNC_RECORDS,
  SYNC_IDLE_MS,
} from '../../src/limits.ts'
import { bucketsOf } from '../../src/sync/difference.ts'
import { decodeBody, encodeBody } from '../../src/sync/messages.ts'
import type { SentState, SentVersion, SyncBody } from '../../src/sync/messages.ts'
import { channelInfo } from '../../src/sync/run.ts'
import { act, audit, create, partners, records, sync } from './two.ts'
import type { Two } from './two.ts'

const NOTHING = new Uint8Array()

/** A run as `away` begins it, where every message is said by hand. */
class Script {
  readonly #two: Two
  readonly channel: SyncChannel
  readonly session: Uint8Array

  constructor(two: Two, channel: SyncChannel, session: Uint8Array) {
    this.#two = two
    this.channel = channel
    this.session = session
  }

  static async begin(two: Two): Promise<Script> {
    const { home, away } = two
    const nonce = new Uint8Array(16).fill(1)
    const asker = { peer: away.peer, connection: '/memory/evil' }
    const begun = await home.guard.network.sync(asker, { kind: 'begin', nonce })
    if (begun.state !== 'begun') throw new Error(JSON.stringify(begun))
    const own = { peer: away.peer, vault: away.vault.head().vault }
    const other = { peer: home.peer, vault: begun.vault }
    const nonces = concat([nonce, begun.nonce])
    const channel = away.vault.transaction((tx) =>
      tx.sync.channel({
        partner: begun.key,
        sendInfo: channelInfo(own, other, nonces),
        receiveInfo: channelInfo(other, own, nonces),
      }),
    )
    channel.open(begun.sealed)
    return new Script(two, channel, begun.session)
  }

  async raw(bytes: Uint8Array): Promise<SyncReply> {
    return await this.sealed(this.channel.seal(bytes))
  }

  async sealed(sealed: Uint8Array): Promise<SyncReply> {
    const asker = { peer: this.#two.away.peer, connection: '/memory/evil' }
    const { session } = this
    return await this.#two.home.guard.network.sync(asker, { kind: 'step', session, sealed })
  }

  async say(body: SyncBody): Promise<SyncBody> {
    const reply = await this.raw(encodeBody(body))
    if (reply.state !== 'step') throw new Error(JSON.stringify(reply))
    return decodeBody(this.channel.open(reply.sealed))
  }

  async list(): Promise<SyncBody> {
    return await this.say(listing(this.#two))
  }

  /** What came of records that are put. */
  async put(sent: readonly SentState[]): Promise<string[]> {
    const answer = await this.say({ kind: 'put', mark: new Uint8Array(16), records: sent })
    return answer.kind === 'results' ? answer.results.map(([, outcome]) => outcome) : []
  }

  /** A record of away's as it would be sent. */
  record(path: string): SentState & { kind: 'stands' } {
    const { channel } = this
    return this.#two.away.vault.transaction(({ sync: changes }) => {
      const found = changes.at(path)
      if (found === undefined) throw new Error(`no ${path}`)
      const { id, type, createdAtMs, minimum } = found
      const versions = found.versions.map(({ number, createdAtMs: at, length }): SentVersion => {
        const publicKey = changes.publicKeyOf(id, number)
        return {
          ...{ number, createdAtMs: at, length, digest: changes.digest(id, number) },
          ...(publicKey === undefined ? {} : { publicKey }),
          sealed: changes.seal(channel, id, number),
        }
      })
      const usage = [...found.labels.usage].sort()
      const { egress } = found.labels
      return {
        kind: 'stands',
        id,
        path,
        type,
        createdAtMs,
        minimum,
        usage,
        egress,
        sync: true,
        versions,
      }
    })
  }
}

function listing({ away }: Two): SyncBody & { kind: 'list' } {
  return {
    kind: 'list',
    head: encodeHead(away.vault.head()),
    mode: 'two-way',
    merge: 'newest-version',
    paths: ['**'],
    maps: [],
    bits: 0,
    buckets: bucketsOf(NOTHING, 0),
    fresh: false,
    mark: new Uint8Array(16),
  }
}

let two: Two

beforeEach(async () => {
  two = await partners({ home: { paths: ['shared/**'] } })
  await create(two.home, 'shared/kept')
  await create(two.home, 'own/secret')
  await create(two.away, 'shared/new')
  await create(two.away, 'own/other')
})

afterEach(async () => {
  // Whatever was said: what stands here stands, the audit is whole, and an honest run goes on.
  const paths = (await records(two.home)).map((line) => line.split(' ')[0])
  expect(paths).toEqual(expect.arrayContaining(['own/secret', 'shared/kept']))
  expect((await two.home.guard.owner.verifyAudit()).faults).toEqual([])
  expect(await sync(two.home, two.away)).toMatchObject({ received: expect.any(Number) })
  await two[Symbol.asyncDispose]()
})

describe('a hostile partner', () => {
  it('is told only of what is selected on both sides, and given no more', async () => {
    const script = await Script.begin(two)
    const told = await script.list()
    expect(told.kind === 'entries' ? told.entries.byteLength : 0).toBe(32)
    const secret = two.home.vault.transaction(({ sync: changes }) => changes.at('own/secret')?.id)
    const answer = await script.say({ kind: 'get', ids: [secret ?? ''], secrets: true })
    expect(answer).toMatchObject({ records: [], refused: [[secret, 'path']] })
    expect(JSON.stringify(await audit(two.home))).toContain('"path"')
  })

  it('gets every bad record refused by itself, beside one that is good', async () => {
    const script = await Script.begin(two)
    await script.list()
    const good = script.record('shared/new')
    const [version] = good.versions as [SentVersion]
    const other = script.record('own/other')
    const id = (last: string): string => '00'.repeat(15) + last
    const { sealed: _, ...bare } = version
    const bad: readonly (readonly [SentState, string])[] = [
      [other, 'path'],
      [{ ...good, id: id('01'), sync: false }, 'label'],
      [{ ...good, id: id('02'), usage: ['decrypt'] }, 'forged'],
      [{ ...good, id: id('03'), minimum: 2 }, 'forged'],
      [{ ...good, id: id('04'), versions: [] }, 'forged'],
      [{ ...good, id: id('05'), versions: [version, version] }, 'forged'],
      [{ ...good, id: id('06'), versions: [{ ...version, digest: '11'.repeat(16) }] }, 'forged'],
      [{ ...good, id: id('07'), versions: [bare] }, 'forged'],
      [{ ...good, id: id('08'), versions: [{ ...version, sealed: NOTHING }] }, 'forged'],
      // Sealed for another record: a secret is bound to id and number.
      [{ ...good, id: id('09') }, 'forged'],
      [{ ...good, id: id('0a'), path: 'own/../x' }, 'path'],
      [
        {
          kind: 'removed',
          id: id('0b'),
          path: 'own/secret',
          removedAtMs: 1,
          version: 1,
          last: id('ff'),
        },
        'path',
      ],
      [
        {
          kind: 'removed',
          id: id('0c'),
          path: 'shared/x',
          removedAtMs: 1,
          version: 0,
          last: id('ff'),
        },
        'forged',
      ],
      [good, 'written'],
    ]
    expect(await script.put(bad.map(([state]) => state))).toEqual(bad.map(([, outcome]) => outcome))
    const paths = (await records(two.home)).map((line) => line.split(' ')[0])
    expect(paths).toEqual(['own/secret', 'shared/kept', 'shared/new'])
    expect(JSON.stringify(await audit(two.home))).toContain('"forged"')
  })

  it('cannot take a record away that it names at another path, nor one that it has not seen', async () => {
    const script = await Script.begin(two)
    await script.list()
    const ids = two.home.vault.transaction(({ sync: changes }) =>
      ['own/secret', 'shared/kept'].map((path) => changes.at(path)?.id ?? ''),
    )
    const removed = {
      kind: 'removed',
      path: 'shared/x',
      removedAtMs: 1,
      last: 'ff'.repeat(16),
    } as const
    const graves = ids.map((id): SentState => ({ ...removed, id, version: 1 }))
    expect(await script.put(graves)).toEqual(['path', 'conflict'])
  })

  it('widens no label and lowers no minimum, whatever it says again', async () => {
    const script = await Script.begin(two)
    await script.list()
    const before = script.record('shared/new')
    expect(await script.put([before])).toEqual(['written'])
    await act(two.home, 'rotate', { key: 'shared/new' })
    await act(two.home, 'narrow', { record: 'shared/new', labels: { egress: 'none' } })
    await act(two.home, 'retire', { record: 'shared/new', below: 2, remove: true })
    const line = (await records(two.home)).find((one) => one.startsWith('shared/new'))
    expect(await script.put([before])).toEqual(['kept'])
    expect((await records(two.home)).find((one) => one.startsWith('shared/new'))).toBe(line)
  })

  it('that shows no mark of the last run is taken for an older copy of itself', async () => {
    await sync(two.home, two.away)
    const script = await Script.begin(two)
    expect(await script.list()).toEqual({ kind: 'stop', why: 'rolled-back' })
    await two.home.guard.owner.syncResolve('away', { accept: 'newer' })
  })

  it('cannot say again what was said before: not in this run, not in another', async () => {
    const script = await Script.begin(two)
    const list = script.channel.seal(encodeBody(listing(two)))
    expect(await script.sealed(list)).toMatchObject({ state: 'step' })
    expect(await script.sealed(list)).toMatchObject({ code: 'unauthenticated' })
    expect(await script.sealed(list)).toMatchObject({ code: 'not_found' })
    const again = await Script.begin(two)
    expect(await again.sealed(list)).toMatchObject({ code: 'unauthenticated' })
  })

  it('ends its run, and no other, with anything that is no message', async () => {
    const messages: readonly Uint8Array[] = [
      NOTHING,
      Uint8Array.of(0xff),
      encode({ kind: 'list' }),
      encode({ kind: 'what' }),
      encode({ kind: 'more' }),
      encodeBody({ kind: 'get', ids: [], secrets: true }),
      encodeBody({ ...listing(two), paths: ['not a pattern'] }),
      encodeBody({ ...listing(two), head: encodeHead(two.home.vault.head()) }),
      encode({ ...listing(two), bits: 15, buckets: new Uint8Array(16 * 2 ** 14) }),
      encode({ ...listing(two), other: 1 }),
      encode({ kind: 'put', mark: new Uint8Array(16), records: [], end: NOTHING }),
    ]
    for (const message of messages) {
      const script = await Script.begin(two)
      const reply = await script.raw(message)
      expect(reply).toMatchObject({ state: 'failed', code: 'invalid_argument' })
      expect(await script.raw(encode({ kind: 'more' }))).toMatchObject({ code: 'not_found' })
    }
    expect(JSON.stringify(await audit(two.home))).toContain('"stopped"')
  })

  it('cannot end a run twice, nor say of one that both are in step where they are not', async () => {
    const script = await Script.begin(two)
    await script.list()
    const put = { kind: 'put', mark: new Uint8Array(16), records: [] } as const
    const end = bucketsOf(NOTHING, 0)
    expect(await script.say({ ...put, end })).toMatchObject({ kind: 'results' })
    expect((await two.home.guard.owner.syncList())[0]).toMatchObject({ state: 'behind' })
    const again = await script.raw(encodeBody({ ...put, end }))
    expect(again).toMatchObject({ code: 'invalid_argument' })
  })

  it('ends its run with lists and ids that are too many, too long, or do not rise', async () => {
    const many = Array.from({ length: MAX_SYNC_RECORDS + 1 }, (_, at) =>
      at.toString(16).padStart(32, '0'),
    )
    const get = (ids: readonly string[]): Uint8Array =>
      encode({ kind: 'get', ids: fromHex(ids.join('')), secrets: true })
    for (const message of [get(many), get(many.slice(0, 2).reverse()), get(many).subarray(1)]) {
      const script = await Script.begin(two)
      await script.list()
      expect(await script.raw(message)).toMatchObject({ code: 'invalid_argument' })
    }
    const script = await Script.begin(two)
    const long = new Uint8Array(MAX_SYNC_MESSAGE_BYTES + 49)
    expect(await script.sealed(long)).toMatchObject({ code: 'invalid_argument' })
  })

  it('fills no audit with refusals: they are counted once there are many', async () => {
    for (let run = 0; run < 60; run++) {
      const script = await Script.begin(two)
      await script.raw(NOTHING)
    }
    const stopped = (await audit(two.home)).filter(({ phase }) => phase === 'stopped')
    expect(stopped.length).toBeLessThan(40)
  })

  it('has one run at a time, and none after two minutes of silence', async () => {
    const first = await Script.begin(two)
    const second = await Script.begin(two)
    const more = encodeBody(listing(two))
    expect(await first.raw(more)).toMatchObject({ code: 'not_found' })
    expect(await second.raw(more)).toMatchObject({ state: 'step' })
    two.clock.advance(SYNC_IDLE_MS + 1)
    expect(await second.raw(more)).toMatchObject({ code: 'not_found' })
  })
})

describe('an owner', () => {
  it('has no more partners than there may be, and none that does not hold together', async () => {
    const { owner } = two.away.guard
    const { vault, key } = await owner.syncOwnKey()
    const add = (change: object): Promise<unknown> =>
      owner.syncAdd({ name: 'other', peer: 'other', vault, key, ...change })
    await owner.addPeer('12D3KooWOther', 'other')
    for (const change of [
      { name: 'Not A Word' },
      { paths: [] },
      { paths: ['/'] },
      { maps: [{ from: 'a', to: 'b' }] },
      { maps: [{ from: 'a/**', to: 'b' }], mode: 'push' },
      { merge: 'replace' },
      { everyMs: 1 },
      { key: new Uint8Array(31) },
    ]) {
      await expect(add(change), JSON.stringify(change)).rejects.toMatchObject({
        code: 'invalid_argument',
      })
    }
    await expect(add({ peer: 'nobody' })).rejects.toMatchObject({ code: 'not_found' })
    await expect(owner.syncResolve('home', { accept: 'older' })).rejects.toMatchObject({
      reason: 'conflict',
    })
    await expect(owner.syncResolve('home', { record: 'x', keep: 'ours' })).rejects.toMatchObject({
      code: 'not_found',
    })
    for (let more = 1; more < MAX_PARTNERSHIPS; more++) {
      await owner.addPeer(`12D3KooWPeer${more}`, `peer${more}`)
      await owner.syncAdd({ name: `peer${more}`, peer: `peer${more}`, vault, key })
    }
    await expect(add({})).rejects.toMatchObject({ code: 'resource_exhausted' })
  })
})
