/**
 * multistream-select on pipes: as listener, as dialer step by step, and as dialer that sends its proposal ahead of
 * the first data. It knows no limit but those handed in, and keeps no time: that is the signal's part.
 */
import { P2pError } from '../errors.ts'

import { Listening, Proposing } from './multistream.ts'
import type { MultistreamLimits, Negotiated, NegotiationEnd } from './multistream.ts'
import type { Pipe, PipeEvents } from './pipe.ts'

/** What both step by step negotiations take. */
export interface NegotiateOptions {
  limits: MultistreamLimits
  /** Ends the negotiation and the pipe. */
  signal?: AbortSignal
  /** Told once, when agreed: bytes of the other side that the negotiation took. */
  onBytes?: (bytes: number) => void
}

/** What a listener takes. */
export interface HandleProtocolOptions extends NegotiateOptions {
  /** Whether a proposal is taken. `ls` is a proposal like any other. */
  offers: (protocol: string) => boolean
}

/**
 * Waits for the other side's proposals, answers them in order and gives the protocol agreed on. Answers to what came
 * together leave together. The pipe is paused then, unread bytes are given back; on failure it is destroyed.
 *
 * @throws `P2pError` `invalid_argument` for malformed messages, `resource_exhausted` past a limit, `unavailable` when
 *   the pipe ends before, `deadline_exceeded` or `canceled` by the signal
 */
export function handleProtocol(pipe: Pipe, options: HandleProtocolOptions): Promise<string> {
  return negotiate(pipe, new Listening(options.offers, options.limits), options)
}

/**
 * Proposes one protocol after the other and gives the one that the other side took. The pipe is paused then, unread
 * bytes are given back; on failure it is destroyed.
 *
 * @throws `P2pError` `unimplemented` when every proposal was refused, and as `handleProtocol`
 */
export function selectProtocol(
  pipe: Pipe,
  protocols: readonly string[],
  options: NegotiateOptions,
): Promise<string> {
  const machine = new Proposing(protocols, options.limits)
  pipe.write([machine.opening()])
  return negotiate(pipe, machine, options)
}

function negotiate(
  pipe: Pipe,
  machine: { feed(chunk: Uint8Array): Negotiated; readonly bytes: number },
  { signal, onBytes }: NegotiateOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    let over = false
    let answered = false
    const settle = (): boolean => {
      if (over) return false
      over = true
      signal?.removeEventListener('abort', aborted)
      pipe.pause()
      return true
    }
    const fail = (error: P2pError): void => {
      if (!settle()) return
      // A refusal leaves before the reset: whoever sent data behind its proposal would not learn of it otherwise.
      if (answered) queueMicrotask(() => pipe.destroy(error))
      else pipe.destroy(error)
      reject(error)
    }
    const aborted = (): void => {
      fail(abortError(signal?.reason))
    }
    if (pipe.closed) {
      fail(endedError())
      return
    }
    if (signal?.aborted === true) {
      aborted()
      return
    }
    signal?.addEventListener('abort', aborted, { once: true })
    pipe.listen({
      data: (chunk) => {
        if (over) return
        const { send, end } = machine.feed(chunk)
        if (send.byteLength > 0) pipe.write([send])
        answered ||= send.byteLength > 0
        if (end === undefined) return
        if (end.kind !== 'agreed') {
          fail(errorOf(end))
          return
        }
        settle()
        if (end.rest.byteLength > 0) pipe.unshift(end.rest)
        onBytes?.(machine.bytes)
        resolve(end.protocol)
      },
      drain: () => {},
      end: () => {
        fail(endedError())
      },
      close: (cause) => {
        fail(endedError(cause))
      },
    })
    pipe.resume()
  })
}

/** What `selectLazily` takes. */
export interface SelectLazilyOptions {
  limits: MultistreamLimits
  /** Told once: without an error when the echo was right, else with the error that the pipe closes with. */
  onSettled?: (error?: Error) => void
}

/**
 * A pipe that speaks `protocol` from its first byte on: the proposal leaves in one write with the first data, or on
 * the microtask after `resume` or `end` when there is none. The echo is checked and swallowed; from then on the
 * listener sits on the lower pipe itself. Anything but the echo destroys the lower pipe, and this one closes with
 * `P2pError` `unimplemented` (layer `protocol`); when the lower pipe ended before the echo, with `unavailable`.
 */
export function selectLazily(pipe: Pipe, protocol: string, options: SelectLazilyOptions): Pipe {
  return new LazyPipe(pipe, new Proposing([protocol], options.limits), options.onSettled)
}

class LazyPipe implements Pipe {
  readonly #lower: Pipe
  readonly #machine: Proposing
  #onSettled: ((error?: Error) => void) | undefined
  #opening: Uint8Array | undefined
  #scheduled = false
  #agreed = false
  #paused = true
  #events: PipeEvents | undefined
  #given: Uint8Array[] = []
  #failure: P2pError | undefined
  #closing: { error: Error | undefined } | undefined

  constructor(lower: Pipe, machine: Proposing, onSettled: ((error?: Error) => void) | undefined) {
    this.#lower = lower
    this.#machine = machine
    this.#onSettled = onSettled
    this.#opening = machine.opening()
    lower.listen({
      data: (chunk) => {
        this.#answered(chunk)
      },
      drain: () => {
        this.#events?.drain()
      },
      end: () => {
        if (!this.#agreed) this.#fail(endedError())
      },
      close: (error) => {
        this.#close(error)
      },
    })
  }

  get queuedBytes(): number {
    return this.#lower.queuedBytes
  }

  get closed(): boolean {
    return this.#lower.closed
  }

  write(chunks: readonly Uint8Array[], released?: () => void): boolean {
    const opening = this.#opening
    if (opening === undefined) return this.#lower.write(chunks, released)
    return this.#open([opening, ...chunks])
  }

  end(): void {
    this.#openNow()
    this.#lower.end()
  }

  destroy(error?: Error): void {
    this.#opening = undefined
    this.#lower.destroy(error)
  }

  pause(): void {
    this.#paused = true
    // Before the echo the lower pipe is ours: the answer is read at any rate.
    if (this.#agreed) this.#lower.pause()
  }

  resume(): void {
    this.#paused = false
    if (!this.#agreed) this.#openSoon()
    else if (this.#events !== undefined) this.#lower.resume()
  }

  unshift(chunk: Uint8Array): void {
    if (this.#agreed) this.#lower.unshift(chunk)
    else this.#given.unshift(chunk)
  }

  listen(events: PipeEvents): void {
    this.#events = events
    if (this.#closing !== undefined) queueMicrotask(() => this.#tellClose())
    else if (this.#agreed) this.#handOver(events)
  }

  #handOver(events: PipeEvents): void {
    this.#lower.listen(events)
    if (!this.#paused) this.#lower.resume()
  }

  #openSoon(): void {
    if (this.#scheduled || this.#opening === undefined) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#openNow()
    })
  }

  #openNow(): void {
    if (this.#opening !== undefined) this.#open([this.#opening])
  }

  #open(chunks: readonly Uint8Array[]): boolean {
    this.#opening = undefined
    const room = this.#lower.write(chunks)
    this.#lower.resume()
    return room
  }

  #answered(chunk: Uint8Array): void {
    if (this.#agreed || this.#failure !== undefined) return
    const { end } = this.#machine.feed(chunk)
    if (end === undefined) return
    if (end.kind !== 'agreed') {
      return this.#fail(
        new P2pError(
          'unimplemented',
          'Cannot open the protocol: the other side does not offer it',
          {
            layer: 'protocol',
            cause: errorOf(end),
          },
        ),
      )
    }
    this.#agreed = true
    this.#lower.pause()
    if (end.rest.byteLength > 0) this.#lower.unshift(end.rest)
    for (const given of this.#given.reverse()) this.#lower.unshift(given)
    this.#given = []
    this.#settled()
    if (this.#events !== undefined) this.#handOver(this.#events)
  }

  #fail(error: P2pError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#lower.destroy(error)
  }

  #close(error: Error | undefined): void {
    const why = this.#failure ?? error
    this.#closing = { error: why }
    this.#opening = undefined
    if (!this.#agreed) this.#settled(why ?? endedError())
    this.#tellClose()
  }

  #tellClose(): void {
    const events = this.#events
    if (events === undefined || this.#closing === undefined) return
    const { error } = this.#closing
    this.#closing = undefined
    this.#events = undefined
    events.close(error)
  }

  #settled(error?: Error): void {
    const onSettled = this.#onSettled
    this.#onSettled = undefined
    onSettled?.(error)
  }
}

function errorOf(end: Exclude<NegotiationEnd, { kind: 'agreed' }>): P2pError {
  switch (end.kind) {
    case 'refused':
      return new P2pError(
        'unimplemented',
        'Cannot agree on a protocol: every proposal was refused',
        {
          layer: 'protocol',
        },
      )
    case 'malformed':
      return new P2pError(
        'invalid_argument',
        `Cannot agree on a protocol: received ${end.problem}`,
        {
          layer: 'protocol',
        },
      )
    case 'exhausted':
      return new P2pError('resource_exhausted', `Cannot agree on a protocol: ${end.problem}`, {
        layer: 'limit',
      })
  }
}

function endedError(cause?: Error): P2pError {
  return new P2pError('unavailable', 'Cannot agree on a protocol: the other side ended', {
    layer: 'protocol',
    cause,
  })
}

/** What a signal's reason is to somebody who waited: a P2pError as it is, else a deadline or a cancellation. */
function abortError(reason: unknown): P2pError {
  if (reason instanceof P2pError) return reason
  const late = reason instanceof Error && reason.name === 'TimeoutError'
  return new P2pError(
    late ? 'deadline_exceeded' : 'canceled',
    `Cannot agree on a protocol: ${late ? 'it took too long' : 'canceled'}`,
    { layer: 'protocol', cause: reason },
  )
}
