/**
 * The asking end of a framing: a substream for each call, one message each way. There is no request id, so nothing
 * with side effects is sent again (`wire.md §7`). It knows nothing of schemas or of how a connection is made.
 */
import type { CallInit, CallTaker, StartedCall } from '../calls.ts'
import type { Held } from '../channel/held.ts'
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { isP2pError, P2pError } from '../errors.ts'
import type { PeerId } from '../identity.ts'
import { encodeVarint } from '../varint.ts'

import type { FramingLimits } from './answer.ts'
import type { Framing } from './framing.ts'
import { FramedMessage } from './message.ts'

// Ours: how often a request that only reads is sent, when connections break under it.
const MAX_SENDS = 2

/** What the calls to one peer in one framing need. */
export interface FramedCallsInit {
  readonly peer: PeerId
  readonly framing: Framing
  readonly limits: FramingLimits
  readonly clock: Clock
  /** Takes a place for a call. @throws `P2pError` where there is none */
  enter(): FramedPlace
}

/** What a call holds while it runs. */
export interface FramedPlace {
  /** Bytes held for the peer. */
  readonly held: Held
  /** Connects if need be and opens a substream, or says why not. The signal ends the try. */
  open(signal: AbortSignal): Promise<Pipe>
  /** Idempotent. */
  leave(): void
}

/** Calls to one peer in one framing. */
export class FramedCalls implements CallTaker {
  readonly #init: FramedCallsInit

  constructor(init: FramedCallsInit) {
    this.#init = init
  }

  get peer(): PeerId {
    return this.#init.peer
  }

  start(call: CallInit): StartedCall {
    return new FramedCall(this.#init, call, this.#init.enter())
  }
}

/** One call. */
class FramedCall implements StartedCall {
  readonly asked: undefined
  readonly #init: FramedCallsInit
  readonly #call: CallInit
  readonly #place: FramedPlace
  readonly #opening = new AbortController()
  readonly #stopTimer: () => void
  #stopLinger: (() => void) | undefined
  #pipe: Pipe | undefined
  #answer: FramedMessage | undefined
  #sends = 0
  #over = false

  constructor(init: FramedCallsInit, call: CallInit, place: FramedPlace) {
    this.#init = init
    this.#call = call
    this.#place = place
    this.#stopTimer = init.clock.setTimer(call.timeoutMs, () => {
      const text = `Cannot finish the request: ${call.timeoutMs} ms are over`
      this.#fail(this.#error('deadline_exceeded', text, 'request'))
    })
    this.#open()
  }

  cancel(): void {
    if (!this.#over) this.#end('canceled')
  }

  #open(): void {
    this.#place.open(this.#opening.signal).then(
      (pipe) => {
        if (this.#over) pipe.destroy()
        else this.#send(pipe)
      },
      (error: unknown) => {
        this.#fail(error)
      },
    )
  }

  #send(pipe: Pipe): void {
    const { framing, limits } = this.#init
    const { message } = this.#call
    const answer = new FramedMessage(
      framing.prefixed,
      limits.maxFramedResponseBytes,
      this.#place.held,
    )
    this.#pipe = pipe
    this.#answer = answer
    this.#sends += 1
    pipe.listen({
      data: (chunk) => {
        this.#take(() => answer.push(chunk))
      },
      drain: () => {},
      end: () => {
        this.#ended(answer)
      },
      close: (error) => {
        if (this.#over) this.#leave()
        else this.#broken(error)
      },
    })
    pipe.write(framing.prefixed ? [encodeVarint(message.byteLength), message] : [message])
    // The original answers nobody who half-closed.
    if (!framing.prefixed) pipe.end()
    pipe.resume()
  }

  #take(read: () => Uint8Array | undefined): void {
    if (this.#over) return
    try {
      const message = read()
      if (message !== undefined) this.#done(message)
    } catch (error) {
      const { code, message, layer } = error as P2pError
      this.#fail(this.#error(code, message, layer, 'maybe'))
    }
  }

  #ended(answer: FramedMessage): void {
    if (this.#over) return
    const { prefixed, format } = this.#init.framing
    const empty = answer.bytes === 0 && (prefixed || !format.bytesOnly)
    if (!empty) {
      this.#take(() => answer.end())
      return
    }
    // A denial, and any failure there: these framings have no form for errors.
    const text = 'Cannot finish the request: the other side closed without an answer'
    this.#fail(this.#error('unavailable', text, 'protocol', 'maybe', 'no_answer'))
  }

  #broken(cause: Error | undefined): void {
    this.#answer?.release()
    if (isP2pError(cause, 'unimplemented')) {
      this.#fail(this.#error(cause.code, cause.message, cause.layer, 'no'))
      return
    }
    const untouched = this.#answer?.bytes === 0
    if (this.#call.readOnly && untouched && this.#sends < MAX_SENDS) {
      this.#open()
      return
    }
    const text = 'Cannot finish the request: the stream broke'
    this.#fail(this.#error('unavailable', text, 'request', 'maybe', undefined, cause))
  }

  #done(message: Uint8Array): void {
    // Once released it is the caller's.
    this.#end()
    this.#call.done(message)
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#end('failed')
    this.#call.failed(error)
  }

  /** Over for the caller. After an answer the substream closes in peace, otherwise at once. */
  #end(why?: 'canceled' | 'failed'): void {
    this.#over = true
    this.#stopTimer()
    this.#opening.abort()
    this.#answer?.release()
    const pipe = this.#pipe
    if (pipe === undefined || pipe.closed || why !== undefined) {
      pipe?.destroy(this.#error('canceled', `The request ${why ?? 'is over'}`, 'request'))
      this.#leave()
      return
    }
    pipe.end()
    const { clock, limits } = this.#init
    this.#stopLinger = clock.setTimer(limits.framedTimeoutMs, () => {
      pipe.destroy()
      this.#leave()
    })
  }

  #leave(): void {
    this.#stopLinger?.()
    this.#place.leave()
  }

  #error(
    code: P2pError['code'],
    message: string,
    layer: P2pError['layer'],
    ran: P2pError['ran'] = this.#sends > 0 ? 'maybe' : 'no',
    reason?: string,
    cause?: unknown,
  ): P2pError {
    return new P2pError(code, message, {
      layer,
      ran,
      peer: this.#init.peer,
      cause,
      ...(reason === undefined ? {} : { reason }),
    })
  }
}
