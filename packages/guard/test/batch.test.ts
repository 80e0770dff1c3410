/** How the work of a turn is shared out among transactions. */
import { createVault, FIRST_GUARD_KIND, MemoryStore } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { Batch } from '../src/batch.ts'
import type { News } from '../src/desk.ts'

let vault: OpenVault

beforeAll(async () => {
  vault = await createVault({
    at: new MemoryStore(),
    credential: { keyFile: new Uint8Array(32).fill(7) },
  })
})
afterAll(() => vault.close())

interface Told {
  readonly batch: Batch
  /** What happened, in order. */
  readonly log: string[]
  /** Asks for one piece of work after the other, all in this turn. */
  ask(from: number, to: number): Promise<unknown>
}

function collecting(maxQueued = 1000): Told {
  const log: string[] = []
  const batch = new Batch({
    vault,
    maxQueued,
    finish: () => log.push('commit'),
    certificate: () => null,
    committed: () => {},
  })
  const one = async (number: number): Promise<void> => {
    await batch.run(() => log.push(`does ${number}`))
    log.push(`hears ${number}`)
  }
  const ask = (from: number, to: number): Promise<unknown> =>
    Promise.all(Array.from({ length: to - from }, (_, index) => one(from + index)))
  return { batch, log, ask }
}

function range(from: number, to: number, what: string): string[] {
  return Array.from({ length: to - from }, (_, index) => `${what} ${from + index}`)
}

test('what fails comes to nothing by itself, in rows, in memory, in news; what came with it is written', async () => {
  const memory = new Map<string, string>()
  const heard: (readonly News[])[] = []
  const batch = new Batch({
    vault,
    maxQueued: 10,
    finish: () => {},
    certificate: () => null,
    committed: (news) => heard.push([...news]),
  })
  const all = ['first', 'second', 'third']
  const bytes = (name: string): Uint8Array => new TextEncoder().encode(name)
  const told = await Promise.allSettled(
    all.map((name) =>
      batch.run(({ tx, journal, news, leaves }) => {
        tx.put(FIRST_GUARD_KIND, bytes(name), bytes(name))
        journal.set(memory, name, name)
        news.push({ type: 'cut', peer: name })
        leaves.push(bytes(name))
        if (name === 'second') throw new RangeError('no')
        return leaves.length
      }),
    ),
  )
  expect(told).toEqual([
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: new RangeError('no') },
    { status: 'fulfilled', value: 2 },
  ])
  expect([...memory.keys()]).toEqual(['first', 'third'])
  expect(heard).toEqual([['first', 'third'].map((peer) => ({ type: 'cut', peer }))])
  const written = await batch.run(({ tx }) =>
    all.filter((name) => tx.get(FIRST_GUARD_KIND, bytes(name)) !== undefined),
  )
  expect(written).toEqual(['first', 'third'])
})

test('of much that waits one half is served and hears of it before the other half is begun', async () => {
  const { log, ask } = collecting()
  await ask(0, 100)
  expect(log).toEqual([
    ...range(0, 50, 'does'),
    'commit',
    ...range(0, 50, 'hears'),
    ...range(50, 100, 'does'),
    'commit',
    ...range(50, 100, 'hears'),
  ])
})

test('sixteen and fewer wait for one commit, and so do as many as the last transaction took', async () => {
  const few = collecting()
  await few.ask(0, 16)
  expect(few.log).toEqual([...range(0, 16, 'does'), 'commit', ...range(0, 16, 'hears')])
  const { log, ask } = collecting()
  await ask(0, 100)
  log.length = 0
  await ask(100, 150)
  expect(log).toEqual([...range(100, 150, 'does'), 'commit', ...range(100, 150, 'hears')])
})

test('who must not wait any longer has all of it done at once', () => {
  const { batch, log, ask } = collecting()
  void ask(0, 100)
  batch.flush()
  expect(log).toEqual([...range(0, 100, 'does'), 'commit'])
})

test('what waits for the second half counts among what waits', async () => {
  const { batch, ask } = collecting(100)
  const all = ask(0, 100)
  await expect(batch.run(() => 'more')).rejects.toMatchObject({ code: 'resource_exhausted' })
  await all
  await expect(batch.run(() => 'more')).resolves.toBe('more')
})
