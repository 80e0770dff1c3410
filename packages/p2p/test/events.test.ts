import { manualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { EventHub } from '../src/events.ts'
import type { EventsOptions, NewEvent, NodeEvent } from '../src/events.ts'
import type { Address, PeerId } from '../src/identity.ts'

const LIMITS = { maxBufferedEvents: 4, maxHeldBackEvents: 3 }
const PEER = 'P' as PeerId

function hubOf(): EventHub {
  return new EventHub(LIMITS, manualClock(1000))
}

/** An event that a number tells from others. */
function listening(n: number): NewEvent {
  return { type: 'listening', address: `/memory/${n}` as Address }
}

const stopped: NewEvent = { type: 'stopped', address: '/memory/0' as Address }

/** What is there to read now, in short. */
async function read(iterator: AsyncIterator<NodeEvent>, count: number): Promise<string[]> {
  const all: string[] = []
  for (let i = 0; i < count; i++) {
    const { done, value } = await iterator.next()
    all.push(done === true ? 'done' : shortOf(value))
  }
  return all
}

function shortOf(event: NodeEvent): string {
  if (event.type === 'missed') return `missed ${event.count}`
  return 'address' in event ? (event.address.split('/').pop() ?? '') : event.type
}

test('a subscriber gets what it asked for, from its subscription on, in order', async () => {
  const hub = hubOf()
  hub.emit(listening(0))
  const events = hub.events({ types: ['listening'] })
  hub.emit(listening(1))
  hub.emit(stopped)
  hub.emit(listening(2))
  expect(await read(events, 2)).toEqual(['1', '2'])
  const waiting = events.next()
  hub.emit(listening(3))
  expect(await waiting).toEqual({
    done: false,
    value: { type: 'listening', address: '/memory/3', atMs: 1000 },
  })
})

test('events narrow on type, and `missed` has no peer', async () => {
  const hub = hubOf()
  const events = hub.events({ types: ['observedAddress', 'denied'] })
  hub.emit({ type: 'observedAddress', peer: PEER, address: '/memory/1' as Address })
  for await (const event of events) {
    const peer: PeerId | undefined = event.peer
    expect(peer).toBe(PEER)
    if (event.type === 'observedAddress') expect(event.address).toBe('/memory/1')
    break
  }
})

test('events are frozen and shared', async () => {
  const hub = hubOf()
  const [a, b] = [hub.events(), hub.events()]
  hub.emit(listening(1))
  const [one, two] = [await a.next(), await b.next()]
  expect(one.value).toBe(two.value)
  expect(Object.isFrozen(one.value)).toBe(true)
})

test('hasListeners() is true for what somebody wants, and only as long', async () => {
  const hub = hubOf()
  expect(hub.hasListeners('request')).toBe(false)
  const [a, b] = [hub.events({ types: ['request', 'request'] }), hub.events()]
  expect(hub.hasListeners('request')).toBe(true)
  expect(hub.hasListeners('response')).toBe(true)
  await b.return()
  expect([hub.hasListeners('request'), hub.hasListeners('response')]).toEqual([true, false])
  await a.return()
  await a.return()
  expect(hub.hasListeners('request')).toBe(false)
  expect(hub.hasListeners('missed' as 'request')).toBe(false)
})

test('keep-latest keeps the newest and says what is missing before them', async () => {
  const hub = hubOf()
  const events = hub.events({ buffer: 2, overflow: 'keep-latest' })
  for (let n = 1; n <= 5; n++) hub.emit(listening(n))
  expect(await read(events, 3)).toEqual(['missed 3', '4', '5'])
})

test('keep-latest is what nobody asked otherwise gets, with maxBufferedEvents', async () => {
  const hub = hubOf()
  const events = hub.events()
  for (let n = 1; n <= 5; n++) hub.emit(listening(n))
  expect(await read(events, 5)).toEqual(['missed 1', '2', '3', '4', '5'])
})

test('drop-latest keeps the oldest and says what is missing after them', async () => {
  const hub = hubOf()
  const events = hub.events({ buffer: 2, overflow: 'drop-latest' })
  for (let n = 1; n <= 4; n++) hub.emit(listening(n))
  expect(await read(events, 1)).toEqual(['1'])
  hub.emit(listening(5))
  hub.emit(listening(6))
  expect(await read(events, 4)).toEqual(['2', 'missed 2', '5', 'missed 1'])
})

test('block holds from a full buffer on until there is room', async () => {
  const hub = hubOf()
  let released = 0
  const stop = hub.onRelease(() => released++)
  const [a, b] = [hub.events({ buffer: 1, overflow: 'block' }), hub.events({ overflow: 'block' })]
  expect(hub.held).toBe(false)
  hub.emit(listening(1))
  expect(hub.held).toBe(true)
  for (let n = 2; n <= 4; n++) hub.emit(listening(n))
  await read(a, 3)
  expect([hub.held, released]).toEqual([true, 0]) // the other one is full, too
  await read(a, 1)
  expect([hub.held, released]).toEqual([true, 0])
  await read(b, 1)
  expect([hub.held, released]).toEqual([false, 1])
  stop()
  hub.emit(listening(5))
  await a.return()
  expect(hub.held).toBe(true)
  await b.return()
  expect([hub.held, released]).toEqual([false, 1])
})

test('block keeps maxHeldBackEvents of what runs already past its buffer, and then drops', async () => {
  const hub = hubOf()
  const events = hub.events({ buffer: 2, overflow: 'block' })
  for (let n = 1; n <= 7; n++) hub.emit(listening(n))
  expect(await read(events, 6)).toEqual(['1', '2', '3', '4', '5', 'missed 2'])
})

test.each(['drop-latest', 'keep-latest'] as const)('%s never holds anything back', (overflow) => {
  const hub = hubOf()
  const events = hub.events({ buffer: 1, overflow })
  hub.emit(listening(1))
  hub.emit(listening(2))
  expect(hub.held).toBe(false)
  void events.return()
})

test('who is called back may fill the buffer again', async () => {
  const hub = hubOf()
  const events = hub.events({ buffer: 1, overflow: 'block' })
  const seen: boolean[] = []
  hub.onRelease(() => {
    seen.push(hub.held)
    if (seen.length === 1) hub.emit(listening(2))
  })
  hub.onRelease(() => seen.push(hub.held))
  hub.emit(listening(1))
  expect(await read(events, 1)).toEqual(['1'])
  expect(seen).toEqual([false, true])
})

test('break unsubscribes', async () => {
  const hub = hubOf()
  const events = hub.events({ overflow: 'block', buffer: 1 })
  hub.emit(listening(1))
  hub.emit(listening(2))
  for await (const event of events) {
    expect(shortOf(event)).toBe('1')
    break
  }
  expect([hub.held, hub.hasListeners('listening')]).toEqual([false, false])
  expect(await read(events, 1)).toEqual(['done'])
})

test('an abort ends the iteration, also one that waits', async () => {
  const hub = hubOf()
  const controller = new AbortController()
  const options = { signal: controller.signal, overflow: 'block', buffer: 1 } as const
  const [waiting, full] = [hub.events(options), hub.events(options)]
  const next = waiting.next()
  hub.emit(listening(1))
  expect(await next).toMatchObject({ done: false })
  const last = waiting.next()
  controller.abort()
  expect(await last).toEqual({ done: true, value: undefined })
  expect(await read(full, 1)).toEqual(['done'])
  expect([hub.held, hub.hasListeners('listening')]).toEqual([false, false])
  expect(await read(hub.events(options), 1)).toEqual(['done'])
})

test('asyncDispose unsubscribes', async () => {
  const hub = hubOf()
  const events = hub.events()
  await events[Symbol.asyncDispose]()
  expect(hub.hasListeners('listening')).toBe(false)
})

test('close() lets subscribers read what they have, and holds nothing back', async () => {
  const hub = hubOf()
  const events = hub.events({ overflow: 'block', buffer: 1 })
  const waiting = hub.events({ types: ['denied'] }).next()
  hub.emit(listening(1))
  hub.close()
  hub.close()
  hub.emit(listening(2))
  expect(hub.held).toBe(false)
  expect(await waiting).toMatchObject({ done: true })
  expect(await read(events, 3)).toEqual(['1', 'done', 'done'])
  expect(await read(hub.events(), 1)).toEqual(['done'])
})

test('several reads at once are answered in order', async () => {
  const hub = hubOf()
  const events = hub.events()
  const reads = Promise.all([events.next(), events.next()])
  hub.emit(listening(1))
  hub.emit(listening(2))
  expect((await reads).map(({ value }) => shortOf(value as NodeEvent))).toEqual(['1', '2'])
})

test.each<[string, unknown, typeof TypeError | typeof RangeError]>([
  ['an unknown event', { types: ['conected'] }, TypeError],
  ['a name of Object.prototype', { types: ['toString'] }, TypeError],
  ['missed, which comes unasked', { types: ['missed'] }, TypeError],
  ['an unknown overflow', { overflow: 'drop' }, TypeError],
  ['an unknown option', { type: ['connected'] }, TypeError],
  ['a buffer of nothing', { buffer: 0 }, RangeError],
  ['half an event', { buffer: 1.5 }, RangeError],
  ['more than maxBufferedEvents', { buffer: 5 }, RangeError],
])('%s is refused', (_, options, error) => {
  const hub = hubOf()
  expect(() => hub.events(options as EventsOptions)).toThrow(error)
  expect(hub.hasListeners('connected')).toBe(false)
})
