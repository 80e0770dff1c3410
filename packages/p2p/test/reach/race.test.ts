/** Attempts that race, with a clock that the test moves. */
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { race } from '../../src/reach/race.ts'
import { turns } from '../transports/pipe-events.ts'

/** So many attempts, each in the test's hands. */
class Field {
  readonly clock: ManualClock = manualClock()
  readonly control = new AbortController()
  readonly begun: number[] = []
  readonly signals: AbortSignal[] = []
  readonly discarded: string[] = []
  readonly #ends: PromiseWithResolvers<string>[] = []
  readonly result: Promise<string>

  constructor(afterMs: readonly number[]) {
    const attempts = afterMs.map((after, at) => ({
      afterMs: after,
      run: (signal: AbortSignal) => {
        this.begun.push(at)
        this.signals[at] = signal
        const end = Promise.withResolvers<string>()
        this.#ends[at] = end
        signal.addEventListener('abort', () => end.reject(signal.reason as Error))
        return end.promise
      },
    }))
    this.result = race(attempts, {
      clock: this.clock,
      timeoutMs: 1000,
      signal: this.control.signal,
      discard: (late) => this.discarded.push(late),
    })
    this.result.catch(() => {})
  }

  win(at: number): void {
    this.#ends[at]?.resolve(`attempt ${at}`)
  }

  async lose(at: number): Promise<void> {
    this.#ends[at]?.reject(new Error(`no ${at}`))
    await turns(5)
  }
}

test('the best begins, the next a little later, and the first that succeeds ends the others', async () => {
  const field = new Field([0, 250, 500])
  expect(field.begun).toEqual([0])
  field.clock.advance(249)
  expect(field.begun).toEqual([0])
  field.clock.advance(1)
  expect(field.begun).toEqual([0, 1])
  field.win(1)
  expect(await field.result).toBe('attempt 1')
  expect(field.signals[0]?.aborted).toBe(true)
  field.clock.advance(1000)
  expect(field.begun).toEqual([0, 1])
  await turns(5)
  expect(field.clock.timers).toBe(0)
})

test('what failed lets the next begin at once', async () => {
  const field = new Field([0, 250, 5000])
  await field.lose(0)
  expect(field.begun).toEqual([0, 1])
  await field.lose(1)
  expect(field.begun).toEqual([0, 1, 2])
  await field.lose(2)
  await expect(field.result).rejects.toMatchObject({
    errors: [new Error('no 0'), new Error('no 1'), new Error('no 2')],
  })
  expect(field.clock.timers).toBe(0)
})

test('silence is a failure once its time is over', async () => {
  const field = new Field([0, 250])
  field.clock.advance(1250)
  await turns(5)
  await expect(field.result).rejects.toMatchObject({
    errors: [{ message: 'nobody answered in time' }, { message: 'nobody answered in time' }],
  })
})

test('who wins too late is given back', async () => {
  const field = new Field([0, 0])
  expect(field.begun).toEqual([0, 1])
  field.win(0)
  field.win(1)
  expect(await field.result).toBe('attempt 0')
  await turns(5)
  expect(field.discarded).toEqual(['attempt 1'])
})

test('the caller may end it, before and meanwhile', async () => {
  const field = new Field([0, 250])
  field.control.abort(new Error('enough'))
  await expect(field.result).rejects.toThrow('enough')
  expect(field.signals[0]?.aborted).toBe(true)
  const ended = AbortSignal.abort(new Error('before'))
  const init = { clock: field.clock, timeoutMs: 1, signal: ended, discard: () => {} }
  await expect(race([], init)).rejects.toThrow('before')
})
