/**
 * The book of requests loses and doubles nothing: random calls of every kind, handlers that take random turns, and
 * connections that break at random points, whole or with bytes under way.
 */
import { bytes } from '@stronghold/core'
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import {
  bidiStream,
  clientStream,
  defineProtocol,
  serverStream,
  unary,
} from '../../src/protocol.ts'
import type { HandlerContext } from '../../src/protocol.ts'

import { ends } from './ends.ts'

const protocol = defineProtocol('/book/1', {
  pay: unary({ request: bytes, response: bytes }),
  read: unary({ request: bytes, response: bytes, readOnly: true }),
  down: serverStream({ request: bytes, download: bytes }),
  list: serverStream({ request: bytes, download: bytes, readOnly: true }),
  up: clientStream({ request: bytes, upload: bytes, response: bytes }),
  both: bidiStream({ request: bytes, upload: bytes, download: bytes }),
})
type Kind = keyof typeof protocol.methods

const kinds: Kind[] = ['pay', 'pay', 'pay', 'read', 'down', 'list', 'up', 'both']
const call = fc.record({
  kind: fc.constantFrom(...kinds),
  size: fc.constantFrom(0, 10, 5000, 70_000, 200_000),
  items: fc.nat(6),
  turns: fc.nat(8),
  fails: fc.boolean(),
  start: fc.nat(20),
  cancel: fc.option(fc.nat(30), { nil: undefined, freq: 5 }),
})
const history = fc.record({
  calls: fc.array(call, { minLength: 1, maxLength: 12 }),
  cuts: fc.array(fc.nat(40), { maxLength: 3 }),
  forgets: fc.boolean(),
  slow: fc.boolean(),
})

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
const pause = async (turns: number): Promise<void> => {
  for (let i = 0; i < turns; i++) await turn()
}

/** What a call sends: its number, then filling. */
function body(number: number, size: number): Uint8Array {
  const message = new Uint8Array(Math.max(2, size)).fill(number)
  message[0] = number
  return message
}

const LONG = process.env['STRONGHOLD_LONG'] === '1'

test.prop([history], {
  numRuns: LONG ? 5000 : 250,
  // Ends what would never end; the machine may be busy for seconds.
  timeout: 20_000,
})(
  'every call ends once, and no handler with side effects runs twice',
  async ({ calls, cuts, forgets, slow }) => {
    const two = ends({ limits: { requestWindowBytes: slow ? 1000 : 65_536 }, silent: true })
    const runs = new Map<number, number>()
    const begin = async (request: Uint8Array): Promise<void> => {
      const number = request[0] ?? 0
      runs.set(number, (runs.get(number) ?? 0) + 1)
      await pause(calls[number]?.turns ?? 0)
      if (calls[number]?.fails === true) throw new Error('as asked')
    }
    const answer = async function* (request: Uint8Array): AsyncGenerator<Uint8Array> {
      await begin(request)
      const { items, size } = calls[request[0] ?? 0] ?? { items: 0, size: 0 }
      for (let i = 0; i < items; i++) yield body(i, Math.min(size, 5000))
    }
    const sum = async (request: Uint8Array, upload: AsyncIterable<Uint8Array>): Promise<number> => {
      await begin(request)
      let bytesRead = 0
      for await (const item of upload) bytesRead += item.byteLength
      return bytesRead
    }
    const echo = async (request: Uint8Array): Promise<Uint8Array> => {
      await begin(request)
      return request
    }
    type Up = HandlerContext & { readonly upload: AsyncIterable<Uint8Array> }
    two.serve(protocol, {
      pay: echo,
      read: echo,
      down: answer,
      list: answer,
      up: async (request, { upload }: Up) => {
        const bytesRead = await sum(request, upload)
        return new Uint8Array(new Uint32Array([bytesRead]).buffer)
      },
      both: async function* (request, { upload }: Up) {
        await begin(request)
        for await (const item of upload) yield item
      },
    })
    const remote = two.client(protocol)

    const ended = new Map<number, number>()
    const one = async (number: number): Promise<void> => {
      const { kind, size, items, start, cancel, fails } = calls[number] ?? {
        kind: 'pay' as const,
        size: 0,
        items: 0,
        start: 0,
        cancel: undefined,
        fails: false,
      }
      await pause(start)
      const controller = new AbortController()
      if (cancel !== undefined)
        void pause(cancel).then(() => {
          controller.abort(new Error('canceled here'))
        })
      const options = { signal: controller.signal }
      const request = body(number, size)
      const upload = Array.from({ length: items }, (_, i) => body(i, Math.min(size, 5000)))
      const total = upload.reduce((all, { byteLength }) => all + byteLength, 0)
      try {
        if (kind === 'pay' || kind === 'read') {
          const got = await remote[kind](request, options)
          expect(got.byteLength).toBe(request.byteLength)
          expect(got[0]).toBe(number)
        } else if (kind === 'up') {
          const got = await remote.up(request, { ...options, upload })
          expect(new Uint32Array(got.buffer)[0]).toBe(total)
        } else {
          const stream =
            kind === 'both'
              ? remote.both(request, { ...options, upload })
              : remote[kind](request, options)
          let read = 0
          let count = 0
          for await (const item of stream) {
            expect(item[0]).toBe(count)
            count += 1
            read += item.byteLength
          }
          // The end is said, never guessed: whoever sees it has seen everything.
          expect({ count, read }).toEqual({ count: items, read: total })
        }
        expect(fails).toBe(false)
        if (kind !== 'read' && kind !== 'list') expect(runs.get(number)).toBe(1)
      } catch (error) {
        if (controller.signal.aborted && error === controller.signal.reason) return
        if (!isP2pError(error)) throw error
        expect(['unavailable', 'internal', 'canceled']).toContain(error.code)
        if (error.code === 'internal') expect(fails).toBe(true)
        if (error.ran === 'no') expect(runs.get(number) ?? 0).toBe(0)
        if (error.ran === 'yes') expect(runs.get(number)).toBeGreaterThan(0)
        if (error.code === 'unavailable') expect(cuts.length).toBeGreaterThan(0)
      } finally {
        ended.set(number, (ended.get(number) ?? 0) + 1)
      }
    }
    const cutting = (async () => {
      for (const after of cuts) {
        await pause(after)
        if (forgets) two.responderInstance = crypto.getRandomValues(new Uint8Array(16))
        for (const pipe of two.pipes.at(-1) ?? []) pipe.destroy(new Error('cut'))
      }
    })()
    await Promise.all([cutting, ...calls.map((_, number) => one(number))])

    for (const [number, { kind }] of calls.entries()) {
      expect(ended.get(number)).toBe(1)
      if (kind !== 'read' && kind !== 'list') expect(runs.get(number) ?? 0).toBeLessThan(2)
    }
    two.close()
    for (const pipes of two.pipes) for (const pipe of pipes) pipe.destroy()
    await pause(12)
    const lease = two.server.lease(two.asker)
    expect(lease.held.bytes).toBe(0)
    lease.close()
  },
  LONG ? 3_600_000 : 60_000,
)
