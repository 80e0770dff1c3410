/** A scripted other side, for every rule of `wire.md §3.1` and every limit on requests. */
import { bytes, concat } from '@stronghold/core'
import { afterEach, expect, test } from 'vitest'

import { AskingChannel } from '../../src/channel/channel.ts'
import type { Outcome } from '../../src/channel/asker.ts'
import {
  decodeError,
  encodeError,
  encodeFrame,
  encodePrelude,
  MAX_NUMBERED_METHODS,
} from '../../src/channel/frame.ts'
import { Held } from '../../src/channel/held.ts'
import { systemClock } from '../../src/clock.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { clientStream, defineProtocol, serverStream, unary } from '../../src/protocol.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

import { ends } from './ends.ts'
import type { Ends } from './ends.ts'
import { rawEnd } from './raw.ts'
import type { RawEnd } from './raw.ts'

const protocol = defineProtocol('/h/1', {
  echo: unary({ request: bytes, response: bytes }),
  hang: unary({ request: bytes, response: bytes }),
  up: clientStream({ upload: bytes, response: bytes }),
  down: serverStream({ download: bytes }),
  few: serverStream({ download: bytes }),
})
const ECHO = { protocol: '/h/1', method: 'echo' }
const HANG = { protocol: '/h/1', method: 'hang' }
const UP = { protocol: '/h/1', method: 'up' }
const DOWN = { protocol: '/h/1', method: 'down' }
const EMPTY = new Uint8Array(0)

const open: Ends[] = []
afterEach(() => {
  for (const two of open.splice(0)) two.close()
})

/** A raw asker before a real responder. */
async function asker(limits: Partial<P2pLimits> = {}): Promise<RawEnd & { two: Ends }> {
  let raw: RawEnd | undefined
  const two = ends({
    limits,
    wrap: ([mine, theirs]) => {
      raw = rawEnd(mine, 'asker')
      // The real asker gets a pipe that leads nowhere.
      return [pipePair()[0], theirs]
    },
  })
  open.push(two)
  two.serve(protocol, {
    echo: (message) => message,
    hang: () => new Promise(() => {}),
    up: async (_, { upload }) => {
      let sum = 0
      for await (const item of upload) sum += item.byteLength
      return Uint8Array.of(sum & 255)
    },
    few: () => [new Uint8Array(1000), new Uint8Array(1000)],
    down: async function* () {
      for (let i = 0; i < 1000; i++) yield await Promise.resolve(new Uint8Array(1000))
    },
  })
  two
    .client(protocol)
    .hang(EMPTY)
    .catch(() => {})
  await expect.poll(() => raw).toBeDefined()
  if (raw === undefined) throw new Error('no channel')
  return Object.assign(raw, { two })
}

/** A raw responder before a real asker with one call of that shape under way. */
function responder(
  init: { downloads?: boolean; uploads?: boolean; limits?: Partial<P2pLimits> } = {},
): RawEnd & { channel: AskingChannel; outcome: Promise<Outcome>; held: Held } {
  const [a, b] = pipePair()
  const held = new Held(1_000_000)
  const settled = Promise.withResolvers<Outcome>()
  const channel = new AskingChannel(a, {
    instance: new Uint8Array(16),
    limits: resolveLimits(init.limits),
    clock: systemClock,
    held,
    afterTurn: (run) => void setImmediate(run),
    onClose: () => {},
  })
  channel.asker.start({
    id: new Uint8Array(16),
    name: ECHO,
    message: EMPTY,
    timeoutMs: 1000,
    downloads: init.downloads === true,
    uploads: init.uploads === true,
    settle: settled.resolve,
  })
  return Object.assign(rawEnd(b, 'responder'), { channel, outcome: settled.promise, held })
}

const isError = (number: number) => (frame: { kind: number; number: number }) =>
  frame.kind === 6 && frame.number === number

const violations: [string, (raw: RawEnd) => void][] = [
  [
    'no hello first',
    (raw) => {
      raw.request(1, { name: ECHO })
    },
  ],
  [
    'a second hello',
    (raw) => {
      raw.hello()
      raw.hello()
    },
  ],
  [
    'an unknown kind',
    (raw) => {
      raw.hello()
      raw.send([11, 0, 1])
    },
  ],
  [
    'kind 0',
    (raw) => {
      raw.hello()
      raw.send([0, 0, 1])
    },
  ],
  [
    'a response from the asker',
    (raw) => {
      raw.hello()
      raw.send([3, 0, 1])
    },
  ],
  [
    'an error from the asker',
    (raw) => {
      raw.hello()
      raw.send([6, 0, 1, new Uint8Array(4)])
    },
  ],
  [
    'an unknown flag',
    (raw) => {
      raw.hello()
      raw.send([4, 8, 1])
    },
  ],
  [
    'REPLY on a cancel',
    (raw) => {
      raw.hello()
      raw.send([7, 2, 1])
    },
  ],
  [
    'an empty part with MORE',
    (raw) => {
      raw.hello()
      raw.send([4, 1, 1])
    },
  ],
  [
    'a request under number 0',
    (raw) => {
      raw.hello()
      raw.request(0, { name: ECHO })
    },
  ],
  [
    'an ack under a number',
    (raw) => {
      raw.hello()
      raw.send([9, 0, 1, new Uint8Array(4)])
    },
  ],
  [
    'an ack of 3 bytes',
    (raw) => {
      raw.hello()
      raw.send([9, 0, 0, new Uint8Array(3)])
    },
  ],
  [
    'an ack of what was not answered',
    (raw) => {
      raw.hello()
      raw.send([9, 0, 0, Uint8Array.of(0, 0, 0, 1)])
    },
  ],
  [
    'an end with a body',
    (raw) => {
      raw.hello()
      raw.send([5, 0, 1, new Uint8Array(1)])
    },
  ],
  [
    'a frame past maxFrameBytes',
    (raw) => {
      raw.hello()
      raw.send([4, 0, 1, new Uint8Array(65_537)])
    },
  ],
  [
    'a request cut in its prelude',
    (raw) => {
      raw.hello()
      raw.send([2, 0, 1, new Uint8Array(29)])
    },
  ],
  [
    'a request without a deadline',
    (raw) => {
      raw.hello()
      raw.request(1, { name: ECHO, timeoutMs: 0 })
    },
  ],
  [
    'a method number without a name',
    (raw) => {
      raw.hello()
      raw.request(1, { method: 1 })
    },
  ],
  [
    'a number in use',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG })
      raw.request(1, { name: HANG })
    },
  ],
  [
    'a part of a request that is whole',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG })
      raw.send([2, 4, 1, new Uint8Array(1)])
    },
  ],
  [
    'an item without credit',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG })
      raw.send([4, 0, 1, new Uint8Array(1)])
    },
  ],
  [
    'an end within a request',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG, flags: 1, message: new Uint8Array(1) })
      raw.send([5, 0, 1])
    },
  ],
  [
    'credit within a request',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG, flags: 1, message: new Uint8Array(1) })
      raw.send([8, 0, 1, new Uint8Array(4)])
    },
  ],
  [
    'a second end',
    (raw) => {
      raw.hello()
      raw.request(1, { name: HANG })
      raw.send([5, 0, 1], [5, 0, 1])
    },
  ],
]

test.each(violations)('an asker that sends %s is reset', async (_, act) => {
  const raw = await asker()
  act(raw)
  expect(await raw.closed).toBeInstanceOf(Error)
  expect(raw.two.answering[0]?.closed).toBe(true)
  expect(raw.two.answering[0]?.responder.size).toBe(0)
})

const responderViolations: [string, (raw: RawEnd) => void][] = [
  [
    'a request',
    (raw) => {
      raw.hello()
      raw.request(1, { name: ECHO })
    },
  ],
  [
    'a cancel',
    (raw) => {
      raw.hello()
      raw.send([7, 0, 1])
    },
  ],
  [
    'an answer to no request',
    (raw) => {
      raw.hello()
      raw.send([3, 0, 2])
    },
  ],
  [
    'a second answer',
    (raw) => {
      raw.hello()
      raw.send([3, 0, 1], [3, 0, 1])
    },
  ],
  [
    'items where an answer was due',
    (raw) => {
      raw.hello()
      raw.send([4, 0, 1, new Uint8Array(1)])
    },
  ],
  [
    'an end where an answer was due',
    (raw) => {
      raw.hello()
      raw.send([5, 0, 1])
    },
  ],
  [
    'an error cut off',
    (raw) => {
      raw.hello()
      raw.send([6, 0, 1, Uint8Array.of(1, 0, 0, 9)])
    },
  ],
  [
    'an error of 513 bytes',
    (raw) => {
      raw.hello()
      raw.send([6, 0, 1, new Uint8Array(517)])
    },
  ],
  [
    'a part out of place',
    (raw) => {
      raw.hello()
      raw.send([3, 4, 1, new Uint8Array(1)])
    },
  ],
  [
    'a reply to no ping',
    (raw) => {
      raw.hello()
      raw.send([10, 2, 0, new Uint8Array(8)])
    },
  ],
]

test.each(responderViolations)('a responder that sends %s is reset', async (_, act) => {
  const raw = responder()
  await raw.next(({ kind }) => kind === 2)
  act(raw)
  expect(await raw.closed).toBeInstanceOf(Error)
  expect(raw.channel.closed).toBe(true)
  expect(await raw.outcome).toMatchObject({
    type: expect.stringMatching(/lost|response/) as string,
  })
  expect(raw.held.bytes).toBe(0)
})

test('a responder past the credit of a download, or one that answers it at once, is reset', async () => {
  for (const act of [
    (raw: RawEnd): void => {
      for (let i = 0; i < 5; i++) raw.send([4, 0, 1, new Uint8Array(60_000)])
    },
    (raw: RawEnd): void => {
      raw.send([3, 0, 1])
    },
    (raw: RawEnd): void => {
      raw.send([4, 1, 1, new Uint8Array(1)], [5, 0, 1])
    },
  ]) {
    const raw = responder({ downloads: true })
    await raw.next(({ kind }) => kind === 2)
    raw.hello()
    act(raw)
    expect(await raw.closed).toBeInstanceOf(Error)
    expect(await raw.outcome).toMatchObject({ type: 'lost' })
  }
})

test('numbers of an error that nobody knows read as internal, maybe, handler', async () => {
  const raw = responder()
  raw.hello()
  raw.send([6, 0, 1, Uint8Array.of(99, 9, 9, 0)])
  expect(await raw.outcome).toEqual({
    type: 'error',
    error: { code: 'internal', ran: 'maybe', layer: 'handler', reason: undefined, message: '' },
  })
})

test('maxMessageBytes: a longer request is refused, its rest is dropped, the channel goes on', async () => {
  const raw = await asker({ maxMessageBytes: 1000 })
  raw.hello()
  raw.request(1, { name: ECHO, flags: 1, message: new Uint8Array(900) })
  raw.send([2, 5, 1, new Uint8Array(101)], [2, 4, 1, new Uint8Array(10)])
  const error = decodeError((await raw.next(isError(1))).body)
  expect(error).toMatchObject({ code: 'resource_exhausted', ran: 'no', layer: 'limit' })
  raw.request(1, { method: 1, message: new Uint8Array(1000) })
  const answer = await raw.next(({ kind }) => kind === 3)
  expect(answer.body.byteLength).toBe(1000)
})

test('maxMessageBytes: a longer answer is refused by the asker, and canceled', async () => {
  const raw = responder({ limits: { maxMessageBytes: 1000 } })
  await raw.next(({ kind }) => kind === 2)
  raw.hello()
  raw.send([3, 1, 1, new Uint8Array(1001)])
  expect(await raw.outcome).toEqual({ type: 'refused', why: 'too_long' })
  await raw.next(({ kind }) => kind === 7)
  raw.send([3, 4, 1, new Uint8Array(10)])
  await expect.poll(() => raw.channel.asker.size).toBe(0)
  expect(raw.channel.closed).toBe(false)
  expect(raw.held.bytes).toBe(0)
})

test('maxInboundPerPeer: one more is answered resource_exhausted', async () => {
  const raw = await asker({ maxInboundPerPeer: 2 })
  raw.hello()
  for (const number of [1, 2, 3]) raw.request(number, { name: HANG })
  expect(decodeError((await raw.next(isError(3))).body)).toMatchObject({
    code: 'resource_exhausted',
    ran: 'no',
    layer: 'limit',
  })
  expect(raw.two.answering[0]?.responder.size).toBe(2)
})

test('maxInboundTotal: the same for all peers together', async () => {
  const raw = await asker({ maxInboundTotal: 1 })
  raw.hello()
  raw.request(1, { name: HANG })
  raw.request(2, { name: HANG })
  expect(decodeError((await raw.next(isError(2))).body).code).toBe('resource_exhausted')
})

test('a canceled request whose handler runs on still counts', async () => {
  const raw = await asker({ maxInboundPerPeer: 1 })
  raw.hello()
  raw.request(1, { name: HANG })
  raw.send([7, 0, 1])
  expect(decodeError((await raw.next(isError(1))).body).code).toBe('canceled')
  raw.request(2, { name: HANG })
  expect(decodeError((await raw.next(isError(2))).body).code).toBe('resource_exhausted')
})

test('maxHeldBytesPerPeer, maxHeldBytesTotal: bytes are reserved before they are held', async () => {
  for (const limits of [{ maxHeldBytesPerPeer: 100_000 }, { maxHeldBytesTotal: 100_000 }]) {
    const raw = await asker(limits)
    raw.hello()
    raw.request(1, { name: HANG, flags: 1, message: new Uint8Array(60_000) })
    raw.request(2, { name: HANG, flags: 1, message: new Uint8Array(60_000) })
    expect(decodeError((await raw.next(isError(2))).body)).toMatchObject({
      code: 'resource_exhausted',
      ran: 'no',
    })
    const lease = raw.two.server.lease(raw.two.asker)
    expect(lease.held.bytes).toBe(60_000)
    raw.pipe.destroy()
    await expect.poll(() => lease.held.bytes).toBe(0)
    lease.close()
  }
})

test('requestWindowBytes: an upload past what was granted is reset', async () => {
  const raw = await asker({ requestWindowBytes: 1000 })
  raw.hello()
  raw.request(1, { name: UP })
  const credit = await raw.next(({ kind }) => kind === 8)
  expect([...credit.body]).toEqual([0, 0, 3, 232])
  raw.send([4, 0, 1, new Uint8Array(991)])
  expect(await raw.closed).toBeInstanceOf(Error)
})

test('a download sends no more than it was granted', async () => {
  const raw = await asker()
  raw.hello()
  raw.request(1, { name: DOWN, credit: 2500 })
  await raw.next(({ kind }) => kind === 4)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const cost = raw.frames
    .filter(({ kind }) => kind === 4)
    .reduce((sum, { body }) => sum + body.byteLength + 10, 0)
  expect(cost).toBe(2500)
  raw.send([7, 0, 1])
  await raw.next(isError(1))
})

test('a download that nobody gives credit for keeps its place until its deadline', async () => {
  const raw = await asker({ maxInboundPerPeer: 1 })
  raw.hello()
  raw.request(1, { name: { protocol: '/h/1', method: 'few' }, timeoutMs: 100 })
  await new Promise((resolve) => setTimeout(resolve, 20))
  raw.request(2, { method: 1, credit: 100_000 })
  expect(decodeError((await raw.next(isError(2))).body).code).toBe('resource_exhausted')
  expect(decodeError((await raw.next(isError(1))).body).code).toBe('deadline_exceeded')
  raw.request(3, { method: 1, credit: 100_000 })
  await raw.next(({ kind, number }) => kind === 5 && number === 3)
})

test('names past the numbered ones get no number', async () => {
  const raw = await asker()
  raw.hello()
  for (let i = 1; i <= MAX_NUMBERED_METHODS; i++) {
    raw.request(i, { name: { protocol: '/none', method: `m${i}` } })
  }
  raw.request(1000, { name: ECHO })
  await raw.next(({ kind, number }) => kind === 3 && number === 1000)
  raw.request(1001, { method: MAX_NUMBERED_METHODS + 1 })
  expect(await raw.closed).toBeInstanceOf(Error)
})

test('an asker that floods pings is answered once a write', async () => {
  const raw = await asker()
  raw.hello()
  for (let i = 0; i < 1000; i++) raw.send([10, 0, 0, new Uint8Array(8).fill(i)])
  raw.request(1, { name: ECHO })
  await raw.next(({ kind }) => kind === 3)
  expect(raw.frames.filter(({ kind }) => kind === 10).length).toBeLessThan(20)
})

test('an asker that does not read its answers is not read either', async () => {
  const raw = await asker()
  raw.hello()
  raw.pipe.pause()
  let accepted = true
  let sent = 0
  const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
  // 64 KiB in the pipe each way, 1 MiB of waiting answers: far below what is offered.
  while (accepted && sent < 100_000) {
    for (let i = 0; i < 50; i++) raw.request(++sent, { name: { protocol: '/none', method: 'm' } })
    accepted = raw.pipe.queuedBytes < 256 * 1024
    await turn()
    await turn()
  }
  expect(sent).toBeLessThan(100_000)
  raw.pipe.resume()
  await raw.next(({ kind, number }) => kind === 6 && number === sent)
})

test('an id that belongs to another method is refused', async () => {
  const raw = await asker()
  const id = new Uint8Array(16).fill(3)
  raw.hello()
  raw.request(1, { name: HANG, id })
  raw.request(2, { name: ECHO, id })
  expect(decodeError((await raw.next(isError(2))).body).code).toBe('invalid_argument')
})

test('the same id twice at once: the later copy gets the answer, the handler runs once', async () => {
  const raw = await asker()
  const id = new Uint8Array(16).fill(3)
  raw.hello()
  raw.request(1, { name: HANG, id })
  raw.request(2, { name: HANG, id })
  expect(decodeError((await raw.next(isError(1))).body)).toMatchObject({
    code: 'canceled',
    ran: 'maybe',
  })
  expect(raw.two.events.filter(({ type }) => type === 'request')).toHaveLength(1)
})

const LONG = process.env['STRONGHOLD_LONG'] === '1'

test(
  'junk after a valid beginning never crashes the responder',
  async () => {
    let seed = 7
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return (seed >>> 8) % below
    }
    const rounds = LONG ? 5000 : 300
    for (let round = 0; round < rounds; round++) {
      const raw = await asker({ requestWindowBytes: 1000 })
      raw.hello()
      for (let i = 0; i < 40; i++) {
        const kind = random(12)
        const number = random(4)
        if (kind === 2) {
          const name = [ECHO, UP, DOWN][random(3)] ?? ECHO
          raw.request(number, {
            name,
            credit: random(5000),
            flags: random(2),
            message: new Uint8Array(random(50) + 1),
          })
        } else {
          const length = [16, 4, 8, 0, random(60)][random(5)] ?? 0
          raw.send([kind, random(8), number, new Uint8Array(length).fill(random(3))])
        }
        if (random(10) === 0) await Promise.resolve()
      }
      raw.pipe.end()
      await raw.closed
      await expect.poll(() => raw.two.answering[0]?.closed).toBe(true)
      const lease = raw.two.server.lease(raw.two.asker)
      expect(lease.held.bytes).toBe(0)
      for (const two of open.splice(0)) two.close()
    }
  },
  LONG ? 3_600_000 : 60_000,
)

test('an encoded error fits its frame', () => {
  const error = { code: 'internal', ran: 'yes', layer: 'handler', reason: 'x'.repeat(32) } as const
  expect(encodeError({ ...error, message: 'y'.repeat(5000) }).byteLength).toBe(4 + 32 + 512)
})

test('requests that came in one piece with the one whose handler ends the channel do not run', async () => {
  const raw = await asker()
  const ran: number[] = []
  const ending = defineProtocol('/h/end', { end: unary({ request: bytes, response: bytes }) })
  raw.two.serve(ending, {
    end: (message) => {
      ran.push(message[0] ?? 0)
      raw.two.answering[0]?.destroy(new Error('enough'))
      return message
    },
  })
  const name = { protocol: '/h/end', method: 'end' }
  const request = (number: number): Uint8Array => {
    const id = new Uint8Array(16).fill(number)
    const prelude = encodePrelude({ id, timeoutMs: 9, acked: 0, credit: 0, method: 0, name })
    return encodeFrame(2, 0, number, concat([prelude, Uint8Array.of(number)]))
  }
  raw.hello()
  raw.pipe.write([concat([request(1), request(2), request(3)])])
  await raw.closed
  expect(ran).toEqual([1])
})
