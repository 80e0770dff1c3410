/** What every way of finding does: one suite over `Advertiser` and `Discoverer`, run against each. */
import { describe, expect, test } from 'vitest'

import type { FoundPeer, FindSource } from '../../src/find/find.ts'
import type { Node } from '../../src/node-interface.ts'

/** Two nodes that can find each other by one way, and nothing else. */
export interface FindPair extends AsyncDisposable {
  readonly alice: Node
  readonly bob: Node
}

export interface FindSuite {
  readonly source: FindSource
  open(): Promise<FindPair>
  /** Kademlia cannot take anything back. Default true. */
  readonly takesBack?: boolean
}

async function collect(search: AsyncIterable<FoundPeer>, most = Infinity): Promise<FoundPeer[]> {
  const got: FoundPeer[] = []
  for await (const one of search) {
    got.push(one)
    if (got.length >= most) break
  }
  return got
}

/** Advertises, and waits until somebody keeps it. */
async function told(node: Node, namespace: string): Promise<AsyncDisposable> {
  const advertisement = node.advertise(namespace)
  expect(advertisement.namespace).toBe(namespace)
  await expect
    .poll(() => advertisement.states().map(({ state }) => state), { timeout: 15_000 })
    .toEqual(['told'])
  return advertisement
}

/** A search, again until it finds: what is told takes its time to be known. */
async function until(node: Node, wanted: Parameters<Node['find']>[0]): Promise<FoundPeer[]> {
  let got: FoundPeer[] = []
  await expect
    .poll(
      async () => {
        got = await collect(node.find(wanted)).catch(() => [])
        return got.length
      },
      { timeout: 15_000, interval: 100 },
    )
    .toBeGreaterThan(0)
  return got
}

export function findSuite(name: string, { source, open, takesBack = true }: FindSuite): void {
  describe(`finding by ${name}`, { timeout: 40_000 }, () => {
    test('whoever serves a namespace is found under it, with addresses that lead there', async () => {
      await using pair = await open()
      await told(pair.alice, 'chess')
      const got = await until(pair.bob, { namespace: 'chess' })
      for (const one of got) {
        expect(one).toMatchObject({ peer: pair.alice.peer, source, namespace: 'chess' })
        expect(one.expiresAtMs).toBeGreaterThan(Date.now())
        expect(one.addresses.length).toBeGreaterThan(0)
        expect(one.addresses.every((each) => each.endsWith(`/p2p/${one.peer}`))).toBe(true)
        expect(Object.isFrozen(one)).toBe(true)
      }
      expect(pair.bob.book.list(pair.alice.peer)[0]?.expiresAtMs).toBeDefined()
      expect((await pair.bob.connect(pair.alice.peer)).peer).toBe(pair.alice.peer)
    })

    test('a namespace that nobody serves ends without anybody, and nobody finds itself', async () => {
      await using pair = await open()
      await told(pair.alice, 'chess')
      await until(pair.bob, { namespace: 'chess' })
      expect(await collect(pair.bob.find({ namespace: 'draughts' }))).toEqual([])
      const self = await collect(pair.alice.find({ namespace: 'chess' }))
      expect(self.map(({ peer }) => peer)).not.toContain(pair.alice.peer)
    })

    test('a peer id alone is enough, to find and to connect', async () => {
      await using pair = await open()
      const { alice, bob } = pair
      const got = await until(bob, { peer: alice.peer })
      expect(got.every(({ peer }) => peer === alice.peer)).toBe(true)
      bob.book.remove(alice.peer)
      expect((await bob.connect(alice.peer)).peer).toBe(alice.peer)
    })

    test('a search that follows hears of who comes later, and break ends it', async () => {
      await using pair = await open()
      const search = pair.bob.find({ namespace: 'later' }, { follow: true })
      const first = search.next()
      await told(pair.alice, 'later')
      expect((await first).value).toMatchObject({ peer: pair.alice.peer })
      expect(await search.return?.()).toEqual({ done: true, value: undefined })
      expect((await search.next()).done).toBe(true)
    })

    test('a signal and timeoutMs end a search without an error', async () => {
      await using pair = await open()
      const stop = new AbortController()
      const search = collect(
        pair.bob.find({ namespace: 'none' }, { follow: true, signal: stop.signal }),
      )
      stop.abort()
      expect(await search).toEqual([])
      const timed = pair.bob.find({ namespace: 'none' }, { follow: true, timeoutMs: 20 })
      expect(await collect(timed)).toEqual([])
      const aborted = pair.bob.find({}, { signal: AbortSignal.abort() })
      expect(await collect(aborted)).toEqual([])
    })

    test('blocked peers are not told, and what is found lets nobody in', async () => {
      await using pair = await open()
      await told(pair.alice, 'chess')
      await until(pair.bob, { namespace: 'chess' })
      expect(pair.bob.firewall.get('inbound', pair.alice.peer)).toBeUndefined()
      pair.bob.block(pair.alice.peer)
      expect(await collect(pair.bob.find({ namespace: 'chess' })).catch(() => [])).toEqual([])
    })

    test.runIf(takesBack)('what is taken back is not found any more', async () => {
      await using pair = await open()
      const advertisement = await told(pair.alice, 'chess')
      await until(pair.bob, { namespace: 'chess' })
      await advertisement[Symbol.asyncDispose]()
      await advertisement[Symbol.asyncDispose]()
      await expect
        .poll(async () => (await collect(pair.bob.find({ namespace: 'chess' }))).length, {
          timeout: 15_000,
          interval: 100,
        })
        .toBe(0)
    })
  })
}
