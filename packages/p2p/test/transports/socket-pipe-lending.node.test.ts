/** What a socket read and somebody only borrowed: its memory goes back to the system, once, and nobody looks at it again. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { MockInstance } from 'vitest'

import type { Pipe, PipeEvents } from '../../src/connection/pipe.ts'
import { DEFAULT_LIMITS, MIN_FREED_BYTES } from '../../src/limits.ts'
import { SocketPipe } from '../../src/transports/socket-pipe.ts'

import { pattern, Recorder, turns } from './pipe-events.ts'
import { leavesNoSockets, socketPair } from './socket-pair.ts'

leavesNoSockets()

const KIB = 1024

let transfers: MockInstance<ArrayBuffer['transfer']>
beforeEach(() => {
  transfers = vi.spyOn(ArrayBuffer.prototype, 'transfer')
})
afterEach(() => {
  // Whatever a test did: no memory was given back twice.
  const given = transfers.mock.contexts
  expect(new Set(given).size).toBe(given.length)
  transfers.mockRestore()
})

/** A listener that only borrows: keeps a copy of the bytes and, to look at it later, the chunk itself. */
class Borrower implements PipeEvents {
  readonly borrows = true
  readonly copies: Uint8Array[] = []
  readonly lent: { chunk: Uint8Array; length: number }[] = []
  bytes = 0
  readonly over = Promise.withResolvers<Error | undefined>()
  #awaited = { bytes: Infinity, come: () => {} }
  readonly #during: (chunk: Uint8Array, nth: number) => void

  constructor(pipe: Pipe, during: (chunk: Uint8Array, nth: number) => void = () => {}) {
    this.#during = during
    pipe.listen(this)
    pipe.resume()
  }

  data(chunk: Uint8Array): void {
    this.lent.push({ chunk, length: chunk.byteLength })
    this.copies.push(chunk.slice())
    this.bytes += chunk.byteLength
    this.#during(chunk, this.lent.length)
    if (this.bytes >= this.#awaited.bytes) this.#awaited.come()
  }

  /** Once that many bytes came, and what gave the last of them is done with it. */
  async until(bytes: number): Promise<void> {
    if (this.bytes < bytes) {
      await new Promise<void>((come) => (this.#awaited = { bytes, come }))
    }
    await turns(1)
  }

  drain(): void {}

  end(): void {}

  close(error?: Error): void {
    this.over.resolve(error)
  }

  all(): Buffer {
    return Buffer.concat(this.copies)
  }
}

async function pipes(): Promise<[near: SocketPipe, far: SocketPipe]> {
  const [near, far] = await socketPair()
  return [new SocketPipe(near, DEFAULT_LIMITS), new SocketPipe(far, DEFAULT_LIMITS)]
}

function isGiven(chunk: Uint8Array): boolean {
  return (chunk.buffer as ArrayBuffer).detached
}

async function send(from: Pipe, bytes: Uint8Array): Promise<void> {
  const writer = new Recorder(from)
  for (let at = 0; at < bytes.byteLength; at += 256 * KIB) {
    const drains = writer.drains
    const room = from.write([bytes.subarray(at, at + 256 * KIB)])
    if (!room) await writer.until(() => writer.drains > drains || writer.closed)
  }
}

test('memory goes back as soon as a borrower has looked, and only then', async () => {
  const [near, far] = await pipes()
  const during: boolean[] = []
  const borrower = new Borrower(far, (chunk) => during.push(isGiven(chunk)))
  const sent = pattern(512 * KIB)
  await send(near, sent)
  await borrower.until(sent.byteLength)
  expect(borrower.all().equals(sent)).toBe(true)
  expect(during).not.toContain(true)
  const long = borrower.lent.filter(({ length }) => length >= MIN_FREED_BYTES)
  expect(long.length).toBeGreaterThan(0)
  expect(long.every(({ chunk }) => isGiven(chunk))).toBe(true)
  expect(transfers).toHaveBeenCalledTimes(long.length)
  near.destroy()
  await borrower.over.promise
})

test('what is short, what is part of more, and what somebody keeps stays', async () => {
  const [nearSocket, farSocket] = await socketPair()
  const near = new SocketPipe(nearSocket, DEFAULT_LIMITS)
  const far = new SocketPipe(farSocket, DEFAULT_LIMITS)
  new Recorder(near)
  const borrower = new Borrower(far)
  near.write([pattern(MIN_FREED_BYTES - 1)])
  await borrower.until(MIN_FREED_BYTES - 1)
  const around = pattern(64 * KIB)
  farSocket.unshift(around.subarray(100, 100 + MIN_FREED_BYTES))
  await borrower.until(2 * MIN_FREED_BYTES - 1)
  expect(borrower.lent.map(({ chunk }) => isGiven(chunk))).not.toContain(true)
  expect(around.byteLength).toBe(64 * KIB)
  farSocket.emit('data', Buffer.from(new ArrayBuffer(MIN_FREED_BYTES)))
  expect(borrower.lent.map(({ chunk }) => isGiven(chunk)).at(-1)).toBe(true)
  transfers.mockClear()
  const keeper = new Recorder(far)
  near.write([pattern(64 * KIB, 2)])
  await keeper.until(() => keeper.bytes === 64 * KIB)
  expect(Buffer.compare(keeper.all(), pattern(64 * KIB, 2))).toBe(0)
  expect(transfers).not.toHaveBeenCalled()
  near.destroy()
  await keeper.until(() => keeper.closed)
})

test('whoever gets a chunk decides, not whoever listens when it is through', async () => {
  for (const first of ['borrows', 'keeps'] as const) {
    const [near, far] = await pipes()
    new Recorder(near)
    const chunks: Uint8Array[] = []
    const come = Promise.withResolvers<undefined>()
    const over = Promise.withResolvers<undefined>()
    const listener = (borrows: true | undefined, next: () => void): PipeEvents => ({
      borrows,
      data: (chunk) => {
        chunks.push(chunk)
        next()
        come.resolve(undefined)
      },
      drain: () => {},
      end: () => {},
      close: () => {
        over.resolve(undefined)
      },
    })
    const [a, b] = first === 'borrows' ? ([true, undefined] as const) : ([undefined, true] as const)
    far.listen(
      listener(a, () => {
        far.listen(listener(b, () => {}))
      }),
    )
    far.resume()
    near.write([pattern(64 * KIB)])
    await come.promise
    await turns(1)
    expect(chunks.map(isGiven)[0]).toBe(first === 'borrows')
    near.destroy()
    await over.promise
  }
})

test('a borrower that pauses again and again gets every byte as it was sent', async () => {
  const [near, far] = await pipes()
  const borrower = new Borrower(far, (_, nth) => {
    far.pause()
    if (nth % 2 === 0) far.resume()
    else
      setImmediate(() => {
        far.resume()
      })
  })
  const sent = pattern(512 * KIB, 3)
  await send(near, sent)
  await borrower.until(sent.byteLength)
  expect(borrower.all().equals(sent)).toBe(true)
  expect(transfers.mock.calls.length).toBeGreaterThan(0)
  near.destroy()
  await borrower.over.promise
})

test('what came while it was paused, and what is handed over with the socket, is nobody else’s', async () => {
  const [nearSocket, farSocket] = await socketPair()
  const near = new SocketPipe(nearSocket, DEFAULT_LIMITS)
  const far = new SocketPipe(farSocket, DEFAULT_LIMITS)
  new Recorder(near)
  const borrower = new Borrower(far)
  far.pause()
  // As a socket does that had read before it was paused.
  const early = pattern(64 * KIB, 4)
  farSocket.emit('data', Buffer.from(early.slice().buffer))
  await turns(3)
  expect(borrower.bytes).toBe(0)
  far.resume()
  await borrower.until(early.byteLength)
  expect(borrower.all().equals(early)).toBe(true)
  far.pause()
  farSocket.emit('data', Buffer.from(early.slice().buffer))
  const taken = far.takeSocket()
  expect(Buffer.compare(taken?.head ?? new Uint8Array(), early)).toBe(0)
  expect(transfers).not.toHaveBeenCalled()
  near.destroy()
  farSocket.destroy()
})

test('a borrower that closes in the middle gets nothing more, and its last chunk goes back', async () => {
  const [near, far] = await pipes()
  const borrower = new Borrower(far, (chunk) => {
    if (chunk.byteLength >= MIN_FREED_BYTES) far.destroy(new Error('enough'))
  })
  await send(near, pattern(512 * KIB))
  expect(await borrower.over.promise).toMatchObject({ message: 'enough' })
  await turns(3)
  const last = borrower.lent.at(-1)
  expect(last !== undefined && isGiven(last.chunk)).toBe(true)
  expect(transfers).toHaveBeenCalledTimes(1)
  expect(borrower.lent.filter(({ length }) => length >= MIN_FREED_BYTES)).toHaveLength(1)
})
