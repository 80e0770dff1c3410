/**
 * The answering end of a framing on one substream: takes the request, hands it to the server as any other, writes the
 * answer and closes. There is no form for errors: whatever fails is a substream closed without a byte.
 */
import type { Held } from '../channel/held.ts'
import type { Inflow, Outflow } from '../channel/flow.ts'
import type { WireError } from '../channel/frame.ts'
import type { Gone } from '../channel/responder.ts'
import type { Clock } from '../clock.ts'
import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import type { Arrival } from '../job.ts'
import type { P2pLimits } from '../limits.ts'
import { encodeVarint } from '../varint.ts'

import type { Framing } from './framing.ts'
import { FramedMessage } from './message.ts'

/** The limits of both ends, by their names in `P2pLimits`. */
export type FramingLimits = Pick<
  P2pLimits,
  'maxFramedRequestBytes' | 'maxFramedResponseBytes' | 'framedTimeoutMs'
>

/** What the answering end needs. */
export interface AnsweringInit {
  readonly framing: Framing
  /** The names by which rules and handlers know the method. */
  readonly protocol: string
  readonly method: string
  readonly limits: FramingLimits
  readonly clock: Clock
  readonly held: Held
  /** The request is whole. */
  request(arrival: Arrival): void
  /** The substream is gone. Called once. */
  onClose(): void
}

/** One request of another framing. Begins to read at once. */
export class FramedArrival implements Arrival {
  readonly #pipe: Pipe
  readonly #init: AnsweringInit
  readonly #deadlineMs: number
  readonly #gathered: FramedMessage
  #stopTimer: () => void
  #answerBytes = 0
  #answered = false
  #whole = false
  #closed = false
  message: Uint8Array = new Uint8Array(0)
  onGone: ((gone: Gone) => void) | undefined

  constructor(pipe: Pipe, init: AnsweringInit) {
    this.#pipe = pipe
    this.#init = init
    const { framing, limits, clock, held } = init
    this.#deadlineMs = clock.nowMs() + limits.framedTimeoutMs
    this.#gathered = new FramedMessage(framing.prefixed, limits.maxFramedRequestBytes, held)
    this.#stopTimer = clock.setTimer(limits.framedTimeoutMs, this.#late)
    pipe.listen({
      data: (chunk) => {
        this.#take(() => this.#gathered.push(chunk))
      },
      drain: () => {},
      end: () => {
        this.#take(() => this.#gathered.end())
      },
      close: () => {
        this.#over()
      },
    })
    pipe.resume()
  }

  get protocol(): string {
    return this.#init.protocol
  }

  get method(): string {
    return this.#init.method
  }

  /** What is left of `framedTimeoutMs`, which began with the substream. */
  get timeoutMs(): number {
    return Math.max(1, this.#deadlineMs - this.#init.clock.nowMs())
  }

  respond(message: Uint8Array): void {
    if (this.#answered || this.#closed) return
    const { framing, limits, held } = this.#init
    const { byteLength } = message
    if (byteLength > limits.maxFramedResponseBytes || !held.reserve(byteLength)) {
      this.fail()
      return
    }
    this.#answered = true
    this.#answerBytes = byteLength
    this.#pipe.write(framing.prefixed ? [encodeVarint(byteLength), message] : [message])
    this.#finish()
  }

  fail(_error?: WireError): void {
    if (this.#answered || this.#closed) return
    this.#answered = true
    // Where no bytes are an answer, an end would be taken for one.
    if (this.#init.framing.format.bytesOnly) this.#destroy('failed')
    else this.#finish()
  }

  upload(): Inflow {
    throw new TypeError('Cannot upload: the framing carries one message each way')
  }

  download(): Outflow {
    throw new TypeError('Cannot download: the framing carries one message each way')
  }

  #take(read: () => Uint8Array | undefined): void {
    // What follows the message means nothing; it is dropped, and the time that it may take is bounded.
    if (this.#whole || this.#closed) return
    try {
      const message = read()
      if (message === undefined) return
      this.message = message
    } catch (error) {
      this.#pipe.destroy(error as P2pError)
      this.#over()
      return
    }
    this.#whole = true
    this.#pipe.pause()
    // From here on the request has the deadline that the server sees to.
    this.#stopTimer()
    this.#init.request(this)
  }

  /** Closes our direction; the asker closes its own once it has read, or is cut off. */
  #finish(): void {
    const { clock, limits } = this.#init
    this.#gathered.release()
    this.#pipe.end()
    this.#stopTimer()
    this.#stopTimer = clock.setTimer(limits.framedTimeoutMs, this.#late)
    this.#pipe.resume()
  }

  readonly #late = (): void => {
    this.#destroy('took too long')
  }

  #destroy(state: string): void {
    this.#pipe.destroy(
      new P2pError('deadline_exceeded', `Cannot finish the exchange: it ${state}`, {
        layer: 'protocol',
      }),
    )
    this.#over()
  }

  #over(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stopTimer()
    this.#gathered.release()
    this.#init.held.release(this.#answerBytes)
    const { onGone } = this
    this.onGone = undefined
    if (!this.#answered) onGone?.('lost')
    this.#init.onClose()
  }
}
