/** What two long lists have to say to each other before they know how they differ. */
import { createHash } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { MAX_SYNC_BITS, SYNC_ENTRIES_BYTES } from '../../src/limits.ts'
import {
  assertEntries,
  bitsFor,
  bucketsOf,
  compareEntries,
  differingBuckets,
  differs,
  entriesIn,
  entriesOf,
  isIn,
} from '../../src/sync/difference.ts'

const hex = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

function list(count: number, change: (index: number) => string = () => ''): [string, string][] {
  return Array.from({ length: count }, (_, index) => [
    hex(`id ${index}`),
    hex(`digest ${index}${change(index)}`),
  ])
}

describe('the difference of two lists', () => {
  it('costs two vaults of 100,000 records that differ in ten less than 100 kB', () => {
    const ours = entriesOf(list(100_000))
    const ten = new Set([1, 5, 99, 1000, 20_000, 30_000, 44_444, 50_000, 77_777, 99_998])
    const theirs = entriesOf(list(99_999, (index) => (ten.has(index) ? ' changed' : '')))
    const bits = bitsFor(100_000)
    const [here, there] = [bucketsOf(ours, bits), bucketsOf(theirs, bits)]
    const differ = differingBuckets(here, there)
    const answer = entriesIn(theirs, bits, differ)
    expect(here.byteLength + differ.byteLength + answer.byteLength).toBeLessThan(100_000)
    const found = compareEntries(entriesIn(ours, bits, differ), answer)
    expect(new Set(found.both)).toEqual(new Set([...ten].map((index) => hex(`id ${index}`))))
    expect(found.onlyOurs).toEqual([hex('id 99999')])
    expect(found.onlyTheirs).toEqual([])
    for (const id of found.both) expect(isIn(id, bits, differ)).toBe(true)
  })

  it('is the same whatever the number of buckets', () => {
    const ours = entriesOf(list(500, (index) => (index % 50 === 0 ? '!' : '')))
    const theirs = entriesOf(list(490))
    const wanted = compareEntries(ours, theirs)
    for (let bits = 0; bits <= MAX_SYNC_BITS; bits += 2) {
      const differ = differingBuckets(bucketsOf(ours, bits), bucketsOf(theirs, bits))
      const found = [ours, theirs].map((side) => entriesIn(side, bits, differ))
      expect(compareEntries(found[0] ?? ours, found[1] ?? theirs)).toEqual(wanted)
    }
  })

  it('is none between equal lists, also empty ones', () => {
    for (const count of [0, 1, 300]) {
      const hashes = bucketsOf(entriesOf(list(count)), 4)
      expect(differs(differingBuckets(hashes, hashes))).toBe(false)
    }
  })

  it('takes no list that is cut, does not rise, or begins before it went on', () => {
    const entries = entriesOf(list(3))
    expect(() => {
      assertEntries(entries, undefined)
    }).not.toThrow()
    const last = Buffer.from(entries.subarray(64, 80)).toString('hex')
    for (const [bad, after] of [
      [entries.subarray(1), undefined],
      [Buffer.concat([entries.subarray(32), entries]), undefined],
      [entries, last],
    ] as const) {
      expect(() => {
        assertEntries(bad, after)
      }).toThrow(SyntaxError)
    }
  })

  it('has no more buckets than a message holds', () => {
    expect(bitsFor(0)).toBe(0)
    expect(bitsFor(33)).toBe(1)
    expect(bitsFor(1_000_000_000)).toBe(MAX_SYNC_BITS)
    // What a relay carries at once, with room for what is said beside it.
    const most = 100 * 1024
    expect(bucketsOf(new Uint8Array(), MAX_SYNC_BITS).byteLength).toBeLessThan(most)
    expect(SYNC_ENTRIES_BYTES).toBeLessThan(most)
    expect(SYNC_ENTRIES_BYTES % 32).toBe(0)
  })
})
