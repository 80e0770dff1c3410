import { once } from 'node:events'

import { expect, test } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import { DEFAULT_LIMITS, resolveLimits } from '../../src/limits.ts'
import { SocketPipe } from '../../src/transports/socket-pipe.ts'

import { pattern, Recorder, turns } from './pipe-events.ts'
import { pipeSuite } from './pipe-suite.ts'
import { leavesNoSockets, socketPair } from './socket-pair.ts'

leavesNoSockets()

pipeSuite('a TCP socket', {
  open: async () => {
    const [near, far] = await socketPair()
    return [new SocketPipe(near, DEFAULT_LIMITS), new SocketPipe(far, DEFAULT_LIMITS)]
  },
  maxUnreadBytes: 16 * 1024 * 1024,
})

test('chunks of one write leave in one system call', async () => {
  const [near, far] = await socketPair()
  const pipe = new SocketPipe(near, DEFAULT_LIMITS)
  new Recorder(pipe)
  let calls = 0
  const original = near._write.bind(near)
  const originalMany = near._writev?.bind(near)
  near._write = (...args) => {
    calls++
    original(...args)
  }
  near._writev = (...args) => {
    calls++
    originalMany?.(...args)
  }
  pipe.write([pattern(3), pattern(4), pattern(5)])
  expect(calls).toBe(1)
  pipe.write([pattern(20_000), pattern(4), pattern(20_000)])
  expect(calls).toBe(2)
  const atFar = new Recorder(new SocketPipe(far, DEFAULT_LIMITS))
  await atFar.until(() => atFar.bytes === 40_016)
  pipe.destroy()
  await atFar.until(() => atFar.closed)
})

test('a layer that goes on writing past maxSocketQueueBytes ends the connection', async () => {
  const limits = resolveLimits({ maxSocketQueueBytes: 100_000 })
  const [near, far] = await socketPair()
  const pipe = new SocketPipe(near, limits)
  const atNear = new Recorder(pipe)
  far.on('error', () => {})
  let queued = 0
  for (let i = 0; i < 10_000 && !pipe.closed; i++) {
    pipe.write([new Uint8Array(10_000)])
    queued = Math.max(queued, pipe.queuedBytes)
  }
  await atNear.until(() => atNear.closed)
  expect(isP2pError(atNear.error, 'resource_exhausted')).toBe(true)
  expect(queued).toBeLessThanOrEqual(110_000)
  far.destroy()
})

test('a peer that neither sends nor ends after our end is reset after closeTimeoutMs', async () => {
  const [near, far] = await socketPair()
  const pipe = new SocketPipe(near, resolveLimits({ closeTimeoutMs: 20 }))
  const atNear = new Recorder(pipe)
  const atFar = new Recorder(new SocketPipe(far, DEFAULT_LIMITS))
  pipe.end()
  await atFar.until(() => atFar.ended)
  await atNear.until(() => atNear.closed)
  expect(atNear.error?.message).toBe('the other side left the connection open')
  far.destroy()
})

test('memory is released once the system has what was written, and never by a socket that broke', async () => {
  const [near, far] = await socketPair()
  const pipe = new SocketPipe(near, resolveLimits({ maxSocketQueueBytes: 64 * 1024 * 1024 }))
  const atNear = new Recorder(pipe)
  const released: number[] = []
  pipe.write([pattern(10)], () => released.push(0))
  expect(released).toEqual([0])
  // Far reads nothing: at some point the system takes no more.
  let writes = 0
  let room = true
  while (room) room = pipe.write([new Uint8Array(1_000_000)], () => released.push(++writes))
  const before = released.length
  pipe.write([pattern(10)], () => released.push(-1))
  expect(released).toHaveLength(before)
  const atFar = new Recorder(new SocketPipe(far, DEFAULT_LIMITS))
  await atNear.until(() => atNear.drains > 0)
  expect(released.at(-1)).toBe(-1)
  expect(released).toHaveLength(before + 2)
  far.pause()
  for (room = true; room;) room = pipe.write([new Uint8Array(1_000_000)])
  pipe.write([pattern(10)], () => released.push(-2))
  pipe.destroy()
  far.resume()
  await atFar.until(() => atFar.closed)
  expect(released).not.toContain(-2)
})

test('takeSocket() hands over the socket with what was not delivered', async () => {
  const [near, far] = await socketPair()
  const a = new SocketPipe(near, DEFAULT_LIMITS)
  const b = new SocketPipe(far, DEFAULT_LIMITS)
  const atB = new Recorder(b)
  a.write([Uint8Array.of(1, 2, 3)])
  await atB.until(() => atB.bytes === 3)
  b.pause()
  b.unshift(Uint8Array.of(3))
  a.write([Uint8Array.of(4)])
  await turns(20)
  let told = 0
  const taken = b.takeSocket(() => told++)
  expect([...(taken?.head ?? [])]).toEqual([3, 4])
  expect(taken?.socket).toBe(far)
  expect([b.closed, b.takeSocket()]).toEqual([true, undefined])
  a.write([Uint8Array.of(5)])
  b.write([Uint8Array.of(6)])
  far.resume()
  const [more] = (await once(far, 'data')) as [Buffer]
  expect([...more]).toEqual([5])
  expect(atB.bytes).toBe(3)
  a.destroy()
  await new Promise((resolve) => far.once('close', resolve))
  expect([atB.closed, told]).toEqual([false, 1])
})

test('takeSocket() gives nothing after an end, a close, or while bytes wait to leave', async () => {
  const [near, far] = await socketPair()
  const a = new SocketPipe(near, DEFAULT_LIMITS)
  const atA = new Recorder(a)
  const b = new SocketPipe(far, DEFAULT_LIMITS)
  while (a.write([new Uint8Array(65_536)]));
  expect(a.takeSocket()).toBeUndefined()
  b.end()
  expect(b.takeSocket()).toBeUndefined()
  b.destroy()
  await atA.until(() => atA.closed)
  expect([a.takeSocket(), b.takeSocket()]).toEqual([undefined, undefined])
})
