/**
 * Requests with a length and a number in front, on any wire of bytes: what a careful programmer writes by hand. All
 * frames of one turn leave in one write. Has no limits and no errors: it is here to be as fast as can be.
 */
import type { Line } from '../contender.ts'

const HEADER_BYTES = 8
/** Bodies from here on are not copied next to their header. */
const COPY_BYTES = 16 * 1024

/** Something that takes bytes. */
export type Write = (bytes: Uint8Array) => void

/** Collects the frames of a turn and writes them at once. */
export class FrameWriter {
  readonly #write: Write
  readonly #ids: number[] = []
  readonly #bodies: Uint8Array[] = []
  #scheduled = false

  constructor(write: Write) {
    this.#write = write
  }

  add(id: number, body: Uint8Array): void {
    this.#ids.push(id)
    this.#bodies.push(body)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    let size = 0
    for (const body of this.#bodies) {
      size += HEADER_BYTES + (body.byteLength < COPY_BYTES ? body.byteLength : 0)
    }
    const batch = Buffer.allocUnsafe(size)
    let start = 0
    let end = 0
    for (const [index, body] of this.#bodies.entries()) {
      batch.writeUInt32BE(body.byteLength, end)
      batch.writeUInt32BE(this.#ids[index] ?? 0, end + 4)
      end += HEADER_BYTES
      if (body.byteLength < COPY_BYTES) {
        batch.set(body, end)
        end += body.byteLength
      } else {
        this.#write(batch.subarray(start, end))
        this.#write(body)
        start = end
      }
    }
    if (end > start) this.#write(batch.subarray(start, end))
    this.#ids.length = 0
    this.#bodies.length = 0
  }
}

/** Cuts what arrives into frames. */
export class FrameReader {
  readonly #onFrame: (id: number, body: Uint8Array) => void
  #parts: Uint8Array[] = []
  #held = 0
  #wanted = HEADER_BYTES

  constructor(onFrame: (id: number, body: Uint8Array) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Uint8Array): void {
    this.#parts.push(chunk)
    this.#held += chunk.byteLength
    if (this.#held < this.#wanted) return
    const [first] = this.#parts
    const whole =
      this.#parts.length === 1 && first !== undefined
        ? Buffer.from(first.buffer, first.byteOffset, first.byteLength)
        : Buffer.concat(this.#parts, this.#held)
    let offset = 0
    this.#wanted = HEADER_BYTES
    while (whole.byteLength - offset >= HEADER_BYTES) {
      const end = offset + HEADER_BYTES + whole.readUInt32BE(offset)
      if (end > whole.byteLength) {
        this.#wanted = end - offset
        break
      }
      this.#onFrame(whole.readUInt32BE(offset + 4), whole.subarray(offset + HEADER_BYTES, end))
      offset = end
    }
    this.#held = whole.byteLength - offset
    this.#parts = this.#held === 0 ? [] : [whole.subarray(offset)]
  }
}

/** Sends every frame back. Gives what takes the bytes that arrive. */
export function echoFrames(write: Write): (chunk: Uint8Array) => void {
  const writer = new FrameWriter(write)
  const reader = new FrameReader((id, body) => {
    writer.add(id, body)
  })
  return (chunk) => {
    reader.push(chunk)
  }
}

interface Waiting {
  resolve(body: Uint8Array): void
  reject(error: Error): void
}

/** The asking end. */
export class FramedLine implements Line {
  readonly #writer: FrameWriter
  readonly #reader: FrameReader
  readonly #close: () => Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0

  constructor(write: Write, close: () => Promise<void>) {
    this.#writer = new FrameWriter(write)
    this.#reader = new FrameReader((id, body) => {
      const waiting = this.#waiting.get(id)
      this.#waiting.delete(id)
      waiting?.resolve(body)
    })
    this.#close = close
  }

  /** What arrived. */
  take(chunk: Uint8Array): void {
    this.#reader.push(chunk)
  }

  /** The wire is gone. */
  fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }

  ask(body: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const id = (this.#lastId = (this.#lastId + 1) >>> 0)
      this.#waiting.set(id, { resolve, reject })
      this.#writer.add(id, body)
    })
  }

  close(): Promise<void> {
    return this.#close()
  }
}
