import { manualClock } from '@stronghold/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { EventHub } from '../src/events.ts'
import type { NodeEvent } from '../src/events.ts'
import type { Address } from '../src/identity.ts'

/** One subscriber with an array for everything, gaps included. */
class NaiveSubscriber {
  readonly overflow: string
  readonly most: number
  readonly buffer: number
  items: (number | { missed: number })[] = []

  constructor(overflow: string, buffer: number, heldBack: number) {
    this.overflow = overflow
    this.buffer = buffer
    this.most = overflow === 'block' ? buffer + heldBack : buffer
  }

  get size(): number {
    return this.items.filter((item) => typeof item === 'number').length
  }

  offer(n: number): void {
    if (this.size < this.most) this.items.push(n)
    else if (this.overflow === 'keep-latest') {
      const oldest = this.items.findIndex((item) => typeof item === 'number')
      this.items.splice(oldest, 1, { missed: 1 })
      this.items.push(n)
    } else this.items.push({ missed: 1 })
  }

  take(): string {
    let missed = 0
    while (typeof this.items[0] === 'object') {
      missed += this.items[0].missed
      this.items.shift()
    }
    return missed > 0 ? `missed ${missed}` : JSON.stringify(this.items.shift())
  }
}

const overflow = fc.constantFrom('block' as const, 'drop-latest' as const, 'keep-latest' as const)

test('every subscriber sees what a plain list would give it, and the hub holds when one is full', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(overflow, fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.oneof(fc.constant('emit' as const), fc.nat(2)), { maxLength: 60, size: 'max' }),
      async (subscribers, maxHeldBackEvents, steps) => {
        const hub = new EventHub({ maxBufferedEvents: 4, maxHeldBackEvents }, manualClock())
        const real = subscribers.map(([overflow, buffer]) => hub.events({ overflow, buffer }))
        const naive = subscribers.map(([o, b]) => new NaiveSubscriber(o, b, maxHeldBackEvents))
        const isHeld = (): boolean =>
          naive.some(({ overflow, size, buffer }) => overflow === 'block' && size >= buffer)
        let released = 0
        let expected = 0
        hub.onRelease(() => released++)
        let n = 0
        for (const step of steps) {
          const before = isHeld()
          if (step === 'emit') {
            n++
            hub.emit({ type: 'listening', address: `/memory/${n}` as Address })
            for (const subscriber of naive) subscriber.offer(n)
          } else {
            const which = step % naive.length
            if (naive[which]?.items.length === 0) continue
            const result = await real[which]?.next()
            expect(shortOf(result?.value as NodeEvent)).toBe(naive[which]?.take())
          }
          if (before && !isHeld()) expected++
          expect(hub.held).toBe(isHeld())
          expect(released).toBe(expected)
        }
      },
    ),
    { numRuns: 500 },
  )
}, 60_000)

function shortOf(event: NodeEvent): string {
  if (event.type === 'missed') return `missed ${event.count}`
  return 'address' in event ? (event.address.split('/').pop() ?? '') : event.type
}
