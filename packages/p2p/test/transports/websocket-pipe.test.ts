import { expect, test } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import { resolveLimits } from '../../src/limits.ts'
import { HIGH_WATER_BYTES, WebSocketPipe } from '../../src/transports/websocket-pipe.ts'
import type { FrameEvents, Frames } from '../../src/transports/websocket-pipe.ts'

import { pattern, Recorder } from './pipe-events.ts'

/** A WebSocket that takes frames only when it is told to. */
class HeldFrames implements Frames {
  readonly sent: Uint8Array[] = []
  readonly calls: string[] = []
  bufferedBytes = 0
  readonly events: FrameEvents

  constructor(events: FrameEvents) {
    this.events = events
  }

  send(frame: Uint8Array): void {
    this.sent.push(frame)
    this.bufferedBytes += frame.byteLength
  }

  take(): void {
    this.bufferedBytes = 0
    this.events.sent()
  }

  close(): void {
    this.calls.push(`close after ${this.sent.length}`)
  }

  terminate(): void {
    this.calls.push('terminate')
  }

  pause(): void {
    this.calls.push('pause')
  }

  resume(): void {
    this.calls.push('resume')
  }
}

function open(limits = resolveLimits()): { pipe: WebSocketPipe; frames: HeldFrames; at: Recorder } {
  let frames: HeldFrames | undefined
  const pipe = new WebSocketPipe((events) => (frames = new HeldFrames(events)), limits)
  if (frames === undefined) throw new Error('nothing was opened')
  return { pipe, frames, at: new Recorder(pipe) }
}

test('writes of one turn leave as one frame', async () => {
  const { pipe, frames } = open()
  pipe.write([Uint8Array.of(1), Uint8Array.of(2)])
  pipe.write([Uint8Array.of(3)])
  expect([frames.sent.length, pipe.queuedBytes]).toEqual([0, 3])
  await Promise.resolve()
  expect(frames.sent.map((frame) => [...frame])).toEqual([[1, 2, 3]])
  pipe.write([])
  await Promise.resolve()
  expect(frames.sent).toHaveLength(1)
})

test('no frame is longer than 64 KiB, and none is held back when there is one to send', () => {
  const { pipe, frames } = open()
  pipe.write([pattern(150_000)])
  expect(frames.sent.map(({ byteLength }) => byteLength)).toEqual([65_536, 65_536, 18_928])
})

test('is full from 64 KiB unsent, and drains once below', () => {
  const { pipe, frames, at } = open()
  expect(pipe.write([new Uint8Array(HIGH_WATER_BYTES - 1)])).toBe(true)
  expect(pipe.write([new Uint8Array(1)])).toBe(false)
  frames.events.sent()
  expect(at.drains).toBe(0)
  frames.take()
  frames.take()
  expect(at.drains).toBe(1)
})

test('maxSocketQueueBytes: who goes on writing past it ends the connection', async () => {
  const { pipe, frames, at } = open(resolveLimits({ maxSocketQueueBytes: 100_000 }))
  pipe.write([new Uint8Array(100_000)])
  pipe.write([new Uint8Array(1)])
  expect(frames.calls).not.toContain('terminate')
  pipe.write([new Uint8Array(1)])
  expect(frames.calls).toContain('terminate')
  frames.events.closed(new Error('1006'))
  await at.until(() => at.closed)
  expect(isP2pError(at.error, 'resource_exhausted')).toBe(true)
})

test('end() closes after what was written', () => {
  const { pipe, frames } = open()
  pipe.write([Uint8Array.of(1)])
  pipe.end()
  expect(frames.calls.at(-1)).toBe('close after 1')
  expect(frames.sent.map((frame) => [...frame])).toEqual([[1]])
})

test('what was written before a reset is not sent', async () => {
  const { pipe, frames } = open()
  pipe.write([Uint8Array.of(1)])
  pipe.destroy()
  await Promise.resolve()
  expect([frames.sent, frames.calls.at(-1), pipe.queuedBytes]).toEqual([[], 'terminate', 0])
})
