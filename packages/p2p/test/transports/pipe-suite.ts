/** What every pipe of a transport does, whatever it runs on. */
import { describe, expect, test } from 'vitest'

import type { Pipe } from '../../src/connection/pipe.ts'

import { pattern, Recorder, turns } from './pipe-events.ts'

export interface PipeSuite {
  /** Two ends of one connection, paused and unread. */
  open(): Promise<[Pipe, Pipe]>
  /** What may be on its way or held while nobody reads. */
  maxUnreadBytes: number
  /** WebSocket has no half-close. Default true. */
  halfClose?: boolean
}

export function pipeSuite(
  name: string,
  { open, maxUnreadBytes, halfClose = true }: PipeSuite,
): void {
  describe(`a pipe over ${name}`, () => {
    test('carries bytes both ways, in order, in whatever pieces they are written', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      const atB = new Recorder(b)
      const sent = pattern(1_000_000)
      let at = 0
      for (let size = 0; at < sent.byteLength; size = (size * 7 + 13) % 60_000) {
        const chunks = [
          sent.slice(at, at + size),
          new Uint8Array(0),
          sent.slice(at + size, at + size + 5),
        ]
        at += size + 5
        const drains = atA.drains
        if (!a.write(chunks)) await atA.until(() => atA.drains > drains)
      }
      b.write([Uint8Array.of(9)])
      await atB.until(() => atB.bytes === sent.byteLength)
      await atA.until(() => atA.bytes === 1)
      expect(Buffer.compare(atB.all(), sent)).toBe(0)
      a.destroy()
      await atB.until(() => atB.closed)
    })

    test('delivers nothing before somebody resumes it', async () => {
      const [a, b] = await open()
      new Recorder(a)
      const atB = new Recorder(b, false)
      a.write([pattern(10)])
      await turns(20)
      expect(atB.bytes).toBe(0)
      b.resume()
      await atB.until(() => atB.bytes === 10)
      b.pause()
      a.write([pattern(10)])
      await turns(20)
      expect(atB.bytes).toBe(10)
      b.resume()
      await atB.until(() => atB.bytes === 20)
      a.destroy()
    })

    test('hands over plain arrays, whose slice is a copy', async () => {
      const [a, b] = await open()
      new Recorder(a)
      const atB = new Recorder(b)
      a.write([pattern(10)])
      await atB.until(() => atB.bytes === 10)
      expect(
        atB.chunks.every((chunk) => Object.getPrototypeOf(chunk) === Uint8Array.prototype),
      ).toBe(true)
      a.destroy()
    })

    test('stops a writer whose reader is paused, and lets it go on later', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      const atB = new Recorder(b, false)
      const chunk = pattern(16 * 1024)
      let written = 0
      let blocked = false
      while (!blocked) {
        while (a.write([chunk.slice()])) written += chunk.byteLength
        written += chunk.byteLength
        const drains = atA.drains
        await turns(50)
        blocked = atA.drains === drains
        expect(written).toBeLessThan(maxUnreadBytes)
      }
      expect(a.queuedBytes).toBeGreaterThan(0)
      const drains = atA.drains
      b.resume()
      await atA.until(() => atA.drains > drains)
      await atB.until(() => atB.bytes === written)
      expect(a.queuedBytes).toBe(0)
      a.destroy()
    })

    test('gives bytes back with unshift, before what comes', async () => {
      const [a, b] = await open()
      new Recorder(a)
      const first = new Recorder(b)
      a.write([Uint8Array.of(1, 2, 3)])
      await first.until(() => first.bytes === 3)
      b.pause()
      b.unshift(Uint8Array.of(3))
      b.unshift(Uint8Array.of(2))
      a.write([Uint8Array.of(4)])
      await turns(10)
      const second = new Recorder(b)
      await second.until(() => second.bytes === 3)
      expect([...second.all()]).toEqual([2, 3, 4])
      expect(first.bytes).toBe(3)
      a.destroy()
    })

    test('a listener may pause and hand over inside a call; the next one gets the rest', async () => {
      const [a, b] = await open()
      new Recorder(a)
      let second: Recorder | undefined
      b.listen({
        data: (chunk) => {
          b.pause()
          b.unshift(chunk.subarray(1))
          second = new Recorder(b)
        },
        drain: () => {},
        end: () => {},
        close: () => {},
      })
      b.resume()
      a.write([Uint8Array.of(1), Uint8Array.of(2)])
      await turns(10)
      await second?.until(() => second?.bytes === 1)
      expect([...(second?.all() ?? [])]).toEqual([2])
      a.destroy()
    })

    test('ends cleanly on both sides, after the last byte', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      const atB = new Recorder(b)
      a.write([pattern(200_000)])
      a.end()
      a.end()
      await atB.until(() => atB.ended)
      expect(atB.bytes).toBe(200_000)
      if (halfClose) {
        expect([atB.closed, b.closed, a.closed]).toEqual([false, false, false])
        b.write([Uint8Array.of(7)])
        await atA.until(() => atA.bytes === 1)
      }
      b.end()
      await Promise.all([atA.until(() => atA.closed), atB.until(() => atB.closed)])
      expect([atA.error, atB.error, atA.ended, a.closed, b.closed]).toEqual([
        undefined,
        undefined,
        true,
        true,
        true,
      ])
    })

    test('keeps what is unread when the other side ends', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      const atB = new Recorder(b, false)
      a.write([pattern(5000)])
      a.end()
      b.end()
      await turns(50)
      expect([atB.bytes, atB.ended, atB.closed]).toEqual([0, false, false])
      b.resume()
      await atB.until(() => atB.closed)
      expect([atB.bytes, atB.ended, atB.error]).toEqual([5000, true, undefined])
      await atA.until(() => atA.closed)
    })

    test('unread bytes may be given back after the other side ended', async () => {
      const [a, b] = await open()
      new Recorder(a)
      const first = new Recorder(b)
      a.write([Uint8Array.of(1, 2)])
      await first.until(() => first.bytes === 2)
      b.pause()
      a.end()
      await turns(20)
      b.unshift(Uint8Array.of(2))
      const second = new Recorder(b)
      await second.until(() => second.ended)
      expect([...second.all()]).toEqual([2])
      b.end()
      await second.until(() => second.closed)
      expect(second.error).toBeUndefined()
    })

    test('a destroyed pipe is a reset for the other side, and an error only where one was given', async () => {
      for (const reason of [new Error('enough'), undefined]) {
        const [a, b] = await open()
        const atA = new Recorder(a)
        const atB = new Recorder(b)
        a.write([pattern(10)])
        await atB.until(() => atB.bytes === 10)
        a.destroy(reason)
        a.destroy(new Error('later'))
        expect(a.closed).toBe(true)
        expect(atA.closed).toBe(false)
        await Promise.all([atA.until(() => atA.closed), atB.until(() => atB.closed)])
        expect(atA.error).toBe(reason)
        expect(atB.error).toBeInstanceOf(Error)
        expect([atA.ended, atB.ended]).toEqual([false, false])
      }
    })

    test('tells a reset to a listener that comes too late, and to a paused one', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      b.resume()
      a.destroy()
      await atA.until(() => atA.closed)
      await turns(20)
      b.pause()
      const atB = new Recorder(b, false)
      await atB.until(() => atB.closed)
      expect(atB.error).toBeInstanceOf(Error)
    })

    test('ignores what is written after the end, and after the close, and tells nothing more', async () => {
      const [a, b] = await open()
      const atA = new Recorder(a)
      const atB = new Recorder(b)
      a.end()
      expect(a.write([pattern(10)])).toBe(true)
      b.end()
      await Promise.all([atA.until(() => atA.closed), atB.until(() => atB.closed)])
      for (const pipe of [a, b]) {
        pipe.write([pattern(10)])
        pipe.end()
        pipe.pause()
        pipe.resume()
        pipe.unshift(pattern(3))
        pipe.destroy(new Error('too late'))
      }
      await turns(10)
      expect([atA.bytes, atB.bytes, atA.callsAfterClose, atB.callsAfterClose]).toEqual([0, 0, 0, 0])
      expect(atA.error).toBeUndefined()
    })
  })
}
