import { describe, expect, test } from 'vitest'

import type { Clock } from '../../src/clock.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

import { pattern, Recorder, turns } from './pipe-events.ts'
import { pipeSuite } from './pipe-suite.ts'

const maxUnreadBytes = 200_000

pipeSuite('memory', { open: async () => pipePair(), maxUnreadBytes })

pipeSuite('memory in fragments', {
  open: async () => pipePair({ fragment: (chunk) => pieces(chunk, 1000) }),
  maxUnreadBytes,
})

function pieces(chunk: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(chunk.byteLength / size)
  return Array.from({ length: count }, (_, i) => chunk.subarray(i * size, (i + 1) * size))
}

/** Time stands until somebody moves it. */
class HeldClock implements Clock {
  #nowMs = 0
  #timers: { at: number; fire: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const timer = { at: this.#nowMs + delayMs, fire }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  advance(ms: number): void {
    this.#nowMs += ms
    const due = this.#timers.filter(({ at }) => at <= this.#nowMs)
    this.#timers = this.#timers.filter(({ at }) => at > this.#nowMs)
    for (const { fire } of due) fire()
  }
}

describe('a pipe in memory with latency', () => {
  test('delivers bytes, the end and a reset each when its time has come', async () => {
    const clock = new HeldClock()
    const [a, b] = pipePair({ latencyMs: 50, clock })
    const atA = new Recorder(a)
    const atB = new Recorder(b)
    a.write([pattern(5)])
    clock.advance(30)
    a.end()
    clock.advance(19)
    await turns(2)
    expect(atB.bytes).toBe(0)
    clock.advance(1)
    await turns(2)
    expect([atB.bytes, atB.ended]).toEqual([5, false])
    clock.advance(29)
    await turns(2)
    expect(atB.ended).toBe(false)
    clock.advance(1)
    await turns(2)
    expect(atB.ended).toBe(true)
    b.destroy()
    await turns(2)
    expect([b.closed, a.closed, atA.closed]).toEqual([true, false, false])
    clock.advance(50)
    await atA.until(() => atA.closed)
    expect(atA.error).toBeInstanceOf(Error)
  })

  test('counts what is on its way', () => {
    const clock = new HeldClock()
    const [a] = pipePair({ latencyMs: 50, clock, highWaterBytes: 10 })
    expect(a.write([pattern(9)])).toBe(true)
    expect(a.write([pattern(1)])).toBe(false)
    expect(a.queuedBytes).toBe(10)
  })
})
