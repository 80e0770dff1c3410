/** A scripted other side for every limit and every way to fail in the framings of others. */
import { isP2pError } from '../../src/errors.ts'
import { describe, expect, test } from 'vitest'

import { FRAMINGS, PEER, echo, side } from './scripted.ts'
import type { Scripted, Side } from './scripted.ts'

const KINDS = ['original', 'json', 'cbor', 'raw'] as const
type Kind = (typeof KINDS)[number]

const text = (value: string): string => Buffer.from(value).toString('hex')

function prefixed(hex: string): string {
  const length = hex.length / 2
  const prefix = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
  return Buffer.from(prefix).toString('hex') + hex
}

/** A request of so many bytes, as the framing has it. */
function requestOf(kind: Kind, bytes: number): string {
  if (kind === 'original') return prefixed(text(JSON.stringify('a'.repeat(bytes - 2))))
  if (kind === 'json') return text(JSON.stringify('a'.repeat(bytes - 2)))
  if (kind === 'cbor') {
    // A text of up to 23 bytes has a head of one byte, RFC 8949 §3.
    if (bytes <= 24) return (0x60 + bytes - 1).toString(16) + '61'.repeat(bytes - 1)
    return '78' + (bytes - 2).toString(16).padStart(2, '0') + '61'.repeat(bytes - 2)
  }
  return '61'.repeat(bytes)
}

function ask(at: Side, kind: Kind, hex: string): Scripted {
  const asked = at.ask(FRAMINGS[kind])
  asked.write(hex)
  if (kind !== 'original') asked.pipe.end()
  return asked
}

/** Asks for what cannot be answered: closed without a byte, and nothing stays. */
async function refused(at: Side, asked: Scripted, ran = 0): Promise<void> {
  await asked.over
  expect(asked.received()).toBe('')
  asked.pipe.end()
  await settled(at)
  expect(at.ran()).toBe(ran)
}

/** Nothing is open, and no timer but that of the next sweep waits. */
async function settled(at: Side): Promise<void> {
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(at.link.channels.size).toBe(0)
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise
  } catch (error) {
    if (!isP2pError(error)) throw error
    const { code, ran, layer } = error
    return { code, ran, layer }
  }
}

function call(at: Side, kind: Kind, value: unknown = 'hi', timeoutMs?: number): Promise<unknown> {
  const remote = at.requests.client(echo, () => PEER, { as: FRAMINGS[kind] })
  const options = timeoutMs === undefined ? {} : { timeoutMs }
  if (kind === 'raw') return remote.bytes(Buffer.from(String(value)), options)
  return kind === 'json' ? remote.read(value, options) : remote.value(value, options)
}

describe.each(KINDS)('%s', (kind) => {
  test('a request of maxFramedRequestBytes passes, a longer one does not', async () => {
    const home = side({ maxFramedRequestBytes: 100 })
    const passed = ask(home, kind, requestOf(kind, 100))
    expect(await passed.over).toBe('end')
    expect(passed.received()).toBe(requestOf(kind, 100))
    passed.pipe.end()
    await settled(home)
    await refused(home, ask(home, kind, requestOf(kind, 101)), 1)
  })

  test('an answer of maxFramedResponseBytes passes, a longer one does not', async () => {
    const home = side({ maxFramedResponseBytes: 100 })
    const passed = ask(home, kind, requestOf(kind, 100))
    await passed.over
    expect(passed.received()).toBe(requestOf(kind, 100))
    passed.pipe.end()
    await settled(home)
    await refused(home, ask(home, kind, requestOf(kind, 101)), 2)

    const away = side({ maxFramedResponseBytes: 100 })
    for (const [bytes, outcome] of [
      [100, 'taken'],
      [101, { code: 'resource_exhausted', ran: 'maybe', layer: 'limit' }],
    ] as const) {
      const answer = failure(call(away, kind))
      const opened = await away.opened()
      opened.write(requestOf(kind, bytes))
      opened.pipe.end()
      if (outcome === 'taken') expect(String(await answer).length).toBeGreaterThan(95)
      else expect(await answer).toEqual(outcome)
      await settled(away)
    }
  })

  test('past maxFramedPerPeer the next request is reset, ours fail', async () => {
    const home = side({ maxFramedPerPeer: 2 }, () => new Promise(() => {}))
    const open = [home.ask(FRAMINGS[kind]), ask(home, kind, requestOf(kind, 10))]
    const third = home.ask(FRAMINGS[kind])
    expect(await third.over).toBe('reset')
    for (const one of open) one.pipe.destroy()
    await settled(home)
    const free = home.ask(FRAMINGS[kind])
    await new Promise(setImmediate)
    expect(home.link.channels.size).toBe(1)
    free.pipe.destroy()

    const away = side({ maxFramedPerPeer: 2 })
    const calls = [failure(call(away, kind)), failure(call(away, kind))]
    expect(await failure(call(away, kind))).toEqual({
      code: 'resource_exhausted',
      ran: 'no',
      layer: 'limit',
    })
    for (const one of [await away.opened(), await away.opened()]) one.pipe.end()
    await Promise.all(calls)
    await settled(away)
    const next = failure(call(away, kind))
    ;(await away.opened()).pipe.destroy()
    if (kind === 'json') (await away.opened()).pipe.destroy()
    expect(await next).toMatchObject({ code: 'unavailable' })
  })

  test('a request that does not come within framedTimeoutMs is reset', async () => {
    const home = side({ framedTimeoutMs: 1000 })
    const asked = home.ask(FRAMINGS[kind])
    asked.write('04')
    await new Promise(setImmediate)
    home.clock.advance(999)
    expect(home.link.channels.size).toBe(1)
    home.clock.advance(1)
    expect(await asked.over).toBe('reset')
    await refused(home, asked)
    expect(home.clock.timers).toBe(0)
  })

  test('a handler that takes longer than framedTimeoutMs is stopped', async () => {
    const home = side({ framedTimeoutMs: 1000 }, () => new Promise(() => {}))
    const asked = ask(home, kind, requestOf(kind, 10))
    await new Promise(setImmediate)
    home.clock.advance(1000)
    await refused(home, asked, 1)
  })

  test('an asker that does not close after its answer is reset', async () => {
    const home = side({ framedTimeoutMs: 1000 })
    const asked = home.ask(FRAMINGS.original)
    asked.write(prefixed(text('"hi"')))
    expect(await asked.over).toBe('end')
    expect(home.link.channels.size).toBe(1)
    // What it sends meanwhile is nobody's.
    asked.write('00'.repeat(1000))
    home.clock.advance(1000)
    await settled(home)
    expect(home.ran()).toBe(1)
    expect(home.clock.timers).toBe(0)
  })

  test('our call ends after framedTimeoutMs, or after its own time', async () => {
    for (const [timeoutMs, waitMs] of [
      [undefined, 1000],
      [20, 20],
    ] as const) {
      const away = side({ framedTimeoutMs: 1000 })
      const answer = failure(call(away, kind, 'hi', timeoutMs))
      const opened = await away.opened()
      await new Promise(setImmediate)
      away.clock.advance(waitMs)
      expect(await answer).toEqual({ code: 'deadline_exceeded', ran: 'maybe', layer: 'request' })
      expect(['end', 'reset']).toContain(await opened.over)
      await settled(away)
      expect(away.clock.timers).toBe(0)
    }
  })

  test('bytes are held up to maxHeldBytesPerPeer', async () => {
    const home = side({ maxHeldBytesPerPeer: 2048 })
    const first = home.ask(FRAMINGS[kind])
    first.write(kind === 'original' ? '800f' + '61'.repeat(1000) : '61'.repeat(1000))
    const second = home.ask(FRAMINGS[kind])
    second.write(kind === 'original' ? '800f' + '61'.repeat(1500) : '61'.repeat(1500))
    expect(await second.over).toBe('reset')
    first.pipe.destroy()
    await settled(home)
    const third = ask(home, kind, requestOf(kind, 100))
    expect(await third.over).toBe('end')
    expect(third.received()).toBe(requestOf(kind, 100))
  })

  test('an asker that leaves stops the handler', async () => {
    const running = Promise.withResolvers<undefined>()
    const stopped = Promise.withResolvers<undefined>()
    const home = side({}, (_, { signal }) => {
      running.resolve(undefined)
      signal.addEventListener('abort', () => {
        stopped.resolve(undefined)
      })
      return stopped.promise
    })
    const asked = ask(home, kind, requestOf(kind, 10))
    await running.promise
    asked.pipe.destroy()
    await stopped.promise
    await settled(home)
  })

  test('our call ends when the substream breaks, or when there is no answer', async () => {
    const away = side()
    const broken = failure(call(away, kind))
    ;(await away.opened()).pipe.destroy(new Error('gone'))
    // What only reads goes once more.
    if (kind === 'json') (await away.opened()).pipe.destroy(new Error('gone'))
    expect(await broken).toEqual({ code: 'unavailable', ran: 'maybe', layer: 'request' })
    if (kind === 'raw') return // no bytes are an answer there
    const silent = failure(call(away, kind))
    ;(await away.opened()).pipe.end()
    expect(await silent).toEqual({ code: 'unavailable', ran: 'maybe', layer: 'protocol' })
  })

  test('junk is no answer', async () => {
    if (kind === 'raw') return // everything is
    const away = side()
    for (const hex of ['05 ffffffffff', 'ff'.repeat(20), '0b 7b2261223a7472756521']) {
      const answer = failure(call(away, kind))
      const opened = await away.opened()
      opened.write(hex)
      opened.pipe.end()
      const error = (await answer) as { code: string }
      expect(['data_loss', 'invalid_argument', 'resource_exhausted']).toContain(error.code)
    }
    await settled(away)
  })
})

test.each(['json', 'cbor', 'original'] as const)(
  '%s: a text is nested up to maxNesting',
  async (kind) => {
    const nested = (depth: number): string => {
      if (kind === 'cbor') return '81'.repeat(depth - 1) + '80'
      const hex = text('['.repeat(depth) + ']'.repeat(depth))
      return kind === 'original' ? prefixed(hex) : hex
    }
    const home = side({ maxNesting: 8 })
    const passed = ask(home, kind, nested(8))
    await passed.over
    expect(passed.received()).toBe(nested(8))
    passed.pipe.end()
    await settled(home)
    await refused(home, ask(home, kind, nested(9)), 1)
    // As deep as a request can be: neither parser sees it.
    await refused(
      home,
      ask(home, kind, kind === 'original' ? '8080' + '04' + '5b'.repeat(65_536) : nested(400_000)),
      1,
    )
  },
)

test.each(['json', 'cbor', 'original'] as const)(
  '%s: a text has up to maxMessageValues',
  async (kind) => {
    const values = (count: number): string => {
      if (kind === 'cbor')
        return '98' + (count - 1).toString(16).padStart(2, '0') + '00'.repeat(count - 1)
      // Counted are brackets and commas, and one.
      const hex = text(JSON.stringify(Array(count - 1).fill(0)))
      return kind === 'original' ? prefixed(hex) : hex
    }
    const home = side({ maxMessageValues: 60 })
    const passed = ask(home, kind, values(60))
    await passed.over
    expect(passed.received()).toBe(values(60))
    passed.pipe.end()
    await settled(home)
    await refused(home, ask(home, kind, values(61)), 1)
  },
)

test.each([
  ['a length past the limit', '8080808010'],
  ['a length without an end', 'ffffffffffffffffffff'],
  ['a length that is not minimal', '8000'],
  ['no JSON', '03 616263'],
  ['no UTF-8', '03 22ff22'],
  ['nothing', '00'],
  ['JSON and more', '05 2222222222'],
  ['a string without an end', '04 22686968'],
  ['a bracket too few', '03 5b5b5d'],
  ['a bracket too many', '03 5b5d5d'],
])('the original, sent %s, closes without a byte', async (_, hex) => {
  const home = side()
  const asked = home.ask(FRAMINGS.original)
  asked.write(hex)
  await refused(home, asked)
})

test('an announced length allocates nothing', async () => {
  const home = side({ maxFramedPerPeer: 1000, maxHeldBytesPerPeer: 1000 * 512 })
  const open = Array.from({ length: 1000 }, () => {
    const asked = home.ask(FRAMINGS.original)
    asked.write('8080 40 22') // 1 MiB
    return asked
  })
  await new Promise(setImmediate)
  expect(home.link.channels.size).toBe(1000)
  for (const one of open) one.pipe.destroy()
  await settled(home)
})

test('a request that was cut off is none', async () => {
  const home = side()
  const asked = home.ask(FRAMINGS.original)
  asked.write('04 226869')
  asked.pipe.end()
  await refused(home, asked)
})

test('what is left of an answer that was cut off is data_loss', async () => {
  const away = side()
  const answer = failure(call(away, 'original'))
  const opened = await away.opened()
  opened.write('04 226869')
  opened.pipe.end()
  expect(await answer).toEqual({ code: 'data_loss', ran: 'maybe', layer: 'protocol' })
})
