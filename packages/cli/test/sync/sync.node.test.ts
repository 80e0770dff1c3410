/** Two Strongholds in step, as real processes: what may go goes, what differs is told, an older copy stops it. */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'

import { connectOwner, readToken } from '@stronghold/guard/owner'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Place } from '../stronghold.ts'
import type { Ended } from '../stronghold.ts'

const LONG = { timeout: 180_000 }

const place = new Place()
const a = (line: string | readonly string[]): Ended => place.done('a', line)
const b = (line: string | readonly string[]): Ended => place.done('b', line)
const servers: Partial<Record<'a' | 'b', Awaited<ReturnType<Place['up']>>>> = {}

/** A home with its modes, without sockets: `cp` of Node.js forgets the modes of directories. */
const copy = (from: string, to: string): void => {
  execFileSync('cp', ['-a', place.path(from), place.path(to)])
}

/** Paths of a vault's records, with their newest versions: asked at its socket, which costs no process. */
const held = async (home: 'a' | 'b'): Promise<Record<string, number>> => {
  const token = readToken(place.path(home, 'admin.token'))
  const records = await connectOwner(place.path(home, 'owner.sock'), token).records()
  return Object.fromEntries(records.map(({ path, version }) => [path, version]))
}

beforeAll(async () => {
  for (const home of ['a', 'b'] as const) {
    place.done(home, 'init --passphrase-file pass')
    servers[home] = await place.up(home)
  }
  a('key create team/one --sync yes')
  a('key create team/kept --sync no')
  a('key create own/key --sync yes')
  b('key create team/two --sync yes')
  const ticket = (a('pair new b --no-wait --json').json as { ticket: string }).ticket
  b(['pair', 'join', ticket, 'a'])
  for (const [home, other] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    const procedures = 'sync:send,sync:receive,sync:remove'
    place.done(
      home,
      `rule add --peers ${other} --procedures ${procedures} --paths team/** --effect allow`,
    )
    place.done(home, `sync add pair --peer ${other} --path team/**`)
  }
}, 180_000)
afterAll(() => {
  place[Symbol.dispose]()
})

describe('two Strongholds', () => {
  test('exchange what labels and rules let go, and nothing else', LONG, async () => {
    const preview = a('sync diff pair --json').json as { changes: object[]; inStep: boolean }
    expect(preview.inStep).toBe(false)
    expect(preview.changes).toEqual([
      { path: 'team/one', where: 'there', change: 'added', why: null },
      { path: 'team/two', where: 'here', change: 'added', why: null },
    ])
    expect(await held('b')).toEqual({ 'team/two': 1 })
    expect(a('sync run pair --json').json).toMatchObject({ inStep: true, sent: 1, received: 1 })
    expect(await held('b')).toEqual({ 'team/one': 1, 'team/two': 1 })
    expect(await held('a')).toEqual({ 'own/key': 1, 'team/kept': 1, 'team/one': 1, 'team/two': 1 })
    expect(a('pub team/one').stdout.split(' ')[1]).toBe(b('pub team/one').stdout.split(' ')[1])
    expect(a('sync verify pair --json').json).toMatchObject({ inStep: true, sent: 0, received: 0 })
  })

  test(
    'tell what both changed as a conflict that keeps both, and carry out what is decided',
    LONG,
    async () => {
      a('key rotate team/one')
      b('key rotate team/one')
      const run = place.run('a', 'sync run pair')
      expect(run.exit).toBe(10)
      expect(run.stderr).toContain('stronghold sync conflicts pair')
      expect(a('sync conflicts --json').json).toMatchObject({
        conflicts: [{ name: 'pair', path: 'team/one', kind: 'version', keep: null }],
      })
      a('sync resolve pair --record team/one --keep ours')
      expect(a('sync run pair --json').json).toMatchObject({ inStep: true })
      expect(a('pub team/one').stdout.split(' ')[1]).toBe(b('pub team/one').stdout.split(' ')[1])
      // What was set aside is there still.
      expect(
        Object.keys(await held('b')).filter((path) => path.startsWith('team/one.aside-')),
      ).toHaveLength(1)
    },
  )

  test(
    'recognise a partner that was put back from an older copy, and bring nothing dead back',
    LONG,
    async () => {
      servers.b?.running.process.kill('SIGTERM')
      await servers.b?.running.ended
      copy('b', 'older')
      servers.b = await place.up('b')
      a('sync pause pair')
      a('sync resume pair')
      a('key revoke team/two')
      a('key create team/three --sync yes')
      const gone = a('sync run pair --json').json as { removedThere: number }
      expect(gone).toMatchObject({ inStep: true, removedThere: 1 })
      expect(Object.keys(await held('b'))).not.toContain('team/two')

      servers.b.running.process.kill('SIGKILL')
      await servers.b.running.ended
      rmSync(place.path('b'), { recursive: true })
      copy('older', 'b')
      servers.b = await place.up('b')
      expect(Object.keys(await held('b'))).toContain('team/two')
      const stopped = place.run('a', 'sync run pair --json')
      expect(stopped).toMatchObject({ exit: 10 })
      expect(stopped.json).toMatchObject({ stopped: 'rolled-back', sent: 0, received: 0 })
      expect(a('sync list --json').json).toMatchObject({
        syncs: [{ name: 'pair', state: 'conflict', why: 'rolled-back' }],
      })
      a('sync resolve pair --take-newer')
      expect(a('sync run pair --json').json).toMatchObject({ inStep: true })
      expect(Object.keys(await held('b'))).not.toContain('team/two')
      expect(Object.keys(await held('b'))).toContain('team/three')
      expect(Object.keys(await held('a'))).not.toContain('team/two')
      expect(a('audit verify').stdout).toContain('none missing, changed or moved')
    },
  )
})
