/** What the tests of security channels share: identities, two ends that shake hands, and what a pipe tells. */
import { concat } from '@stronghold/core'

import type { Pipe } from '../../src/connection/pipe.ts'
import type { SecureOptions, Secured, Security } from '../../src/connection/security.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import { bothLending } from '../transports/lending.ts'

/** Options of a handshake, with a signal that never comes. */
export function options(more: Partial<SecureOptions> = {}): SecureOptions {
  return {
    signal: new AbortController().signal,
    muxers: ['/yamux/1.0.0'],
    maxHandshakeBytes: 65_536,
    ...more,
  }
}

/** Both ends secured, over a pair in memory. */
export async function secure(
  outbound: Security,
  inbound: Security,
  more: { outbound?: Partial<SecureOptions>; inbound?: Partial<SecureOptions> } = {},
  pair = pipePair(),
): Promise<[Secured, Secured]> {
  const [a, b] = bothLending(pair)
  return Promise.all([
    outbound.secureOutbound(a, options(more.outbound)),
    inbound.secureInbound(b, options(more.inbound)),
  ])
}

/** All that a pipe told. */
export class Told {
  readonly chunks: Uint8Array[] = []
  readonly log: string[] = []
  error: Error | undefined
  readonly #ended = Promise.withResolvers<undefined>()
  readonly #closed = Promise.withResolvers<undefined>()
  #wait: { bytes: number; resolve: () => void } | undefined

  /** Listens and, unless told not to, resumes. */
  constructor(pipe: Pipe, resume = true) {
    pipe.listen({
      data: (chunk) => {
        this.chunks.push(Uint8Array.from(chunk))
        this.log.push('data')
        if (this.#wait !== undefined && this.bytes.byteLength >= this.#wait.bytes)
          this.#wait.resolve()
      },
      drain: () => this.log.push('drain'),
      end: () => {
        this.log.push('end')
        this.#ended.resolve(undefined)
      },
      close: (error) => {
        this.log.push('close')
        this.error = error
        this.#closed.resolve(undefined)
      },
    })
    if (resume) pipe.resume()
  }

  get bytes(): Uint8Array {
    return concat(this.chunks)
  }

  get ended(): Promise<undefined> {
    return this.#ended.promise
  }

  get closed(): Promise<undefined> {
    return this.#closed.promise
  }

  async received(bytes: number): Promise<Uint8Array> {
    if (this.bytes.byteLength < bytes) {
      await new Promise<void>((resolve) => {
        this.#wait = { bytes, resolve }
      })
    }
    return this.bytes
  }
}

/** A pipe that passes everything on and lets a test change or watch what is written through it. */
export function through(
  pipe: Pipe,
  onWrite: (chunks: readonly Uint8Array[]) => readonly Uint8Array[],
): Pipe {
  return {
    write: (chunks) => pipe.write(onWrite(chunks)),
    end: () => {
      pipe.end()
    },
    destroy: (error) => {
      pipe.destroy(error)
    },
    pause: () => {
      pipe.pause()
    },
    resume: () => {
      pipe.resume()
    },
    unshift: (chunk) => {
      pipe.unshift(chunk)
    },
    listen: (events) => {
      pipe.listen(events)
    },
    get queuedBytes() {
      return pipe.queuedBytes
    },
    get closed() {
      return pipe.closed
    },
  }
}
