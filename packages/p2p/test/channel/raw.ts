/** One end of a channel that speaks frames by hand, against a real other end. */
import { concat } from '@stronghold/core'

import {
  encodeFrame,
  encodePrelude,
  FrameParser,
  KIND_HELLO,
  KIND_REQUEST,
} from '../../src/channel/frame.ts'
import type { Side } from '../../src/channel/frame.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

export interface RawFrame {
  kind: number
  flags: number
  number: number
  body: Uint8Array
}

export interface RawEnd {
  pipe: Pipe
  frames: RawFrame[]
  /** Settles when the other side ended or reset the pipe. */
  closed: Promise<Error | undefined>
  send(...frames: [kind: number, flags: number, number: number, body?: Uint8Array][]): void
  hello(): void
  /** A whole request; later parts by `send`. */
  request(number: number, init?: Partial<RawRequest>): void
  /** The next frame that fits. */
  next(fits: (frame: RawFrame) => boolean): Promise<RawFrame>
}

export interface RawRequest {
  id: Uint8Array
  timeoutMs: number
  acked: number
  credit: number
  method: number
  name: { protocol: string; method: string } | undefined
  message: Uint8Array
  flags: number
}

/** `side` is the one that is played. */
export function rawEnd(pipe: Pipe, side: Side): RawEnd {
  const frames: RawFrame[] = []
  const closed = Promise.withResolvers<Error | undefined>()
  const waiting: { fits: (frame: RawFrame) => boolean; found: (frame: RawFrame) => void }[] = []
  const parser = new FrameParser(
    side === 'asker' ? 'responder' : 'asker',
    65_536,
    (kind, flags, number, body) => {
      const frame = { kind, flags, number, body: body.slice() }
      frames.push(frame)
      for (const one of [...waiting]) {
        if (!one.fits(frame)) continue
        waiting.splice(waiting.indexOf(one), 1)
        one.found(frame)
      }
    },
  )
  pipe.listen({
    data: (chunk) => {
      parser.push(chunk)
    },
    drain: () => {},
    end: () => {
      closed.resolve(undefined)
    },
    close: (error) => {
      closed.resolve(error)
    },
  })
  pipe.resume()
  const end: RawEnd = {
    pipe,
    frames,
    closed: closed.promise,
    send: (...all) => {
      pipe.write(
        all.map(([kind, flags, number, body = new Uint8Array(0)]) =>
          encodeFrame(kind, flags, number, body),
        ),
      )
    },
    hello: () => {
      end.send([KIND_HELLO, 0, 0, new Uint8Array(16)])
    },
    request: (number, init = {}) => {
      const { message = new Uint8Array(0), flags = 0, name, ...rest } = init
      const prelude = encodePrelude({
        id: crypto.getRandomValues(new Uint8Array(16)),
        timeoutMs: 30_000,
        acked: 0,
        credit: 0,
        method: 0,
        ...rest,
        ...(name === undefined ? {} : { name }),
      })
      end.send([KIND_REQUEST, flags, number, concat([prelude, message])])
    },
    next: (fits) => {
      const here = frames.find(fits)
      if (here !== undefined) return Promise.resolve(here)
      return new Promise((found) => waiting.push({ fits, found }))
    },
  }
  return end
}
