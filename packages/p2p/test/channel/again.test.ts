/** After a broken connection: what is sent again, what is answered from memory, what fails (`wire.md §6`). */
import { bytes } from '@stronghold/core'
import { expect, test } from 'vitest'

import { defineProtocol, serverStream, unary } from '../../src/protocol.ts'

import { Held } from '../../src/channel/held.ts'
import { Kept } from '../../src/channel/kept.ts'

import { ends } from './ends.ts'
import type { Ends } from './ends.ts'

const protocol = defineProtocol('/example/again/1.0.0', {
  pay: unary({ request: bytes, response: bytes }),
  read: unary({ request: bytes, response: bytes, readOnly: true }),
  list: serverStream({ download: bytes, readOnly: true }),
})

interface Work {
  two: Ends
  runs: { pay: number; read: number; list: number }
  /** Resolves when the next handler has started. */
  started(): Promise<void>
  finish(): void
  /** Breaks the newest connection, as a pulled cable does. */
  cut(): void
}

function work(limits: Parameters<typeof ends>[0] = {}): Work {
  const two = ends(limits)
  let begun = Promise.withResolvers<undefined>()
  let done = Promise.withResolvers<undefined>()
  const runs = { pay: 0, read: 0, list: 0 }
  const run = async (kind: keyof typeof runs): Promise<void> => {
    runs[kind] += 1
    begun.resolve(undefined)
    await done.promise
  }
  two.serve(protocol, {
    pay: async (message) => {
      await run('pay')
      return Uint8Array.of(...message, runs.pay)
    },
    read: async (message) => {
      await run('read')
      return message
    },
    list: async function* () {
      yield Uint8Array.of(1)
      await run('list')
      yield Uint8Array.of(2)
    },
  })
  return {
    two,
    runs,
    started: async () => {
      await begun.promise
      begun = Promise.withResolvers()
    },
    finish: () => {
      done.resolve(undefined)
      done = Promise.withResolvers()
    },
    cut: () => {
      for (const pipe of two.pipes.at(-1) ?? []) pipe.destroy(new Error('cut'))
    },
  }
}

test('a request with side effects whose answer was lost is answered, not repeated', async () => {
  const { two, runs, started, finish, cut } = work()
  const answer = two.client(protocol).pay(Uint8Array.of(9))
  await started()
  cut()
  await expect.poll(() => two.pipes.length).toBe(2)
  finish()
  expect(await answer).toEqual(Uint8Array.of(9, 1))
  expect(runs.pay).toBe(1)
  two.close()
})

test('a request with side effects that finished while nobody was connected is answered from memory', async () => {
  let open = true
  const { two, runs, started, finish, cut } = work({
    wrap: (pipes) => {
      // While closed, every new connection breaks at once.
      if (!open) for (const pipe of pipes) pipe.destroy(new Error('down'))
      return pipes
    },
  })
  const answer = two.client(protocol).pay(Uint8Array.of(9))
  await started()
  open = false
  cut()
  finish()
  await expect.poll(() => two.events.filter(({ type }) => type === 'response').length).toBe(1)
  open = true
  expect(await answer).toEqual(Uint8Array.of(9, 1))
  expect(runs.pay).toBe(1)
  two.close()
})

test('to another instance nothing with side effects is sent again', async () => {
  const { two, runs, started, cut } = work()
  const answer = two.client(protocol).pay(Uint8Array.of(9))
  await started()
  two.responderInstance = new Uint8Array(16).fill(8)
  cut()
  await expect(answer).rejects.toMatchObject({ code: 'unavailable', ran: 'maybe' })
  expect(runs.pay).toBe(1)
  two.close()
})

test('a request that only reads is sent again, also to another instance', async () => {
  const { two, runs, started, finish, cut } = work()
  const answer = two.client(protocol).read(Uint8Array.of(9))
  await started()
  two.responderInstance = new Uint8Array(16).fill(8)
  cut()
  await started()
  finish()
  expect(await answer).toEqual(Uint8Array.of(9))
  expect(runs.read).toBe(2)
  two.close()
})

test('a download that began is not started anew: it fails', async () => {
  const { two, started, cut } = work()
  const items = two.client(protocol).list()
  expect(await items.next()).toEqual({ done: false, value: Uint8Array.of(1) })
  await started()
  cut()
  await expect(items.next()).rejects.toMatchObject({ code: 'unavailable', ran: 'maybe' })
  two.close()
})

test('acknowledged answers are forgotten, the others are kept', async () => {
  const { two, started, finish } = work()
  const remote = two.client(protocol)
  for (let i = 0; i < 3; i++) {
    const answer = remote.pay(Uint8Array.of(i))
    await started()
    finish()
    await answer
  }
  // The third request carried the acknowledgement of the second; the last one is acknowledged after a pause.
  expect(two.server.keptOf(two.asker)).toBe(1)
  await expect.poll(() => two.server.keptOf(two.asker), { timeout: 2000 }).toBe(0)
  two.close()
})

test('a full window refuses, and does not evict', async () => {
  const { two, runs, started, finish } = work({ limits: { maxKeptAnswers: 2 } })
  const remote = two.client(protocol)
  const first = remote.pay(Uint8Array.of(1))
  await started()
  const second = remote.pay(Uint8Array.of(2))
  await started()
  await expect(remote.pay(Uint8Array.of(3))).rejects.toMatchObject({
    code: 'resource_exhausted',
    ran: 'no',
    message: expect.stringContaining('2 answers') as string,
  })
  finish()
  expect([...(await first)]).toHaveLength(2)
  expect([...(await second)]).toHaveLength(2)
  expect(runs.pay).toBe(2)
  two.close()
})

test('maxKeptAnswersTotal: the same for all peers together', async () => {
  const { two, runs, started, finish } = work({ limits: { maxKeptAnswersTotal: 1 } })
  const remote = two.client(protocol)
  const first = remote.pay(Uint8Array.of(1))
  await started()
  await expect(remote.pay(Uint8Array.of(2))).rejects.toMatchObject({
    code: 'resource_exhausted',
    ran: 'no',
    message: expect.stringContaining('1 answers') as string,
  })
  finish()
  await first
  expect(runs.pay).toBe(1)
  two.close()
})

test('nothing is kept of a request that was canceled before its handler started', async () => {
  const asked = Promise.withResolvers<undefined>()
  const verdict = Promise.withResolvers<'deny'>()
  const onAsk = (): Promise<'deny'> => {
    asked.resolve(undefined)
    return verdict.promise
  }
  const { two, runs } = work({ firewall: { inbound: { fallback: 'ask' }, onAsk } })
  const stop = new AbortController()
  const call = two.client(protocol).pay(Uint8Array.of(1), { signal: stop.signal })
  await asked.promise
  expect(two.server.keptOf(two.asker)).toBe(1)
  stop.abort()
  await expect(call).rejects.toThrow()
  await expect.poll(() => two.server.keptOf(two.asker)).toBe(0)
  verdict.resolve('deny')
  expect(runs.pay).toBe(0)
  two.close()
})

test('an answer too large to be kept is gone when asked for again: it never runs twice', async () => {
  const { two, runs, started, finish, cut } = work({ limits: { maxKeptBytes: 4 } })
  const answer = two.client(protocol).pay(new Uint8Array(16))
  await started()
  const down = two.pipes.length
  finish()
  cut()
  expect(two.pipes.length).toBe(down)
  await expect(answer).rejects.toMatchObject({
    code: 'unavailable',
    ran: 'yes',
    reason: 'answer_gone',
  })
  expect(runs.pay).toBe(1)
  two.close()
})

test('maxKeptBytesTotal: the same for the answers of all peers together', async () => {
  const { two, runs, started, finish, cut } = work({ limits: { maxKeptBytesTotal: 4 } })
  const answer = two.client(protocol).pay(new Uint8Array(16))
  await started()
  finish()
  cut()
  await expect(answer).rejects.toMatchObject({ reason: 'answer_gone' })
  expect(runs.pay).toBe(1)
  two.close()
})

test('keepAnswersMs: an answer that nobody fetches is forgotten that long after its deadline', () => {
  const kept = new Kept<never>({ keepAnswersMs: 500 }, new Held(1), new Held(100))
  const id = new Uint8Array(16)
  const entry = kept.open(id, 'm', 10_000, 1000)
  if (entry === undefined) throw new Error('no place')
  // Its handler still runs: time alone does not end it.
  kept.sweep(50_000)
  expect(kept.get(id)).toBe(entry)
  kept.settle(entry, { type: 'response', message: new Uint8Array(50) })
  expect(kept.open(new Uint8Array(16).fill(1), 'm', 11_499, 1000)).toBeUndefined()
  expect(kept.get(id)).toBe(entry)
  expect(kept.open(new Uint8Array(16).fill(1), 'm', 12_500, 1000)).toBeDefined()
  expect(kept.get(id)).toBeUndefined()
})
