/**
 * Calls over a message port: who calls on one side, who answers on the other. What is said in one turn of the event loop
 * crosses in one message. It knows nothing of what the methods do; a method that is not in the table does not exist.
 */
import type { MessagePort } from 'node:worker_threads'

import type { KeeperLimits } from '../limits.ts'
import { Topic } from '../topic.ts'
import {
  decodeMessage,
  DoorError,
  encodeMessage,
  errorOf,
  faultOf,
  packTurn,
  unpackTurn,
} from './messages.ts'
import type { Message } from './messages.ts'

/** Sends what one turn says in one message. */
class Outbox {
  readonly #port: MessagePort
  #waiting: Uint8Array[] = []

  constructor(port: MessagePort) {
    this.#port = port
  }

  send(message: Uint8Array): void {
    if (this.#waiting.push(message) > 1) return
    // As in `Batch`: a tick that a microtask asks for comes after everything that this turn leads to.
    queueMicrotask(() => {
      process.nextTick(() => {
        const packed = packTurn(this.#waiting)
        this.#waiting = []
        this.#port.postMessage(packed, [packed.buffer as ArrayBuffer])
      })
    })
  }
}

/** How one call is made. */
export interface PortCallOptions {
  readonly signal?: AbortSignal | undefined
  /** It waits for a person, maybe for long, and counts apart. */
  readonly waits?: boolean
}

/** A call without an answer. */
interface Pending {
  readonly bytes: number
  readonly waits: boolean
  resolve(value: unknown): void
  reject(error: unknown): void
  item(value: unknown): void
}

/** The calling side. Once it ended, every call fails as the end said. */
export class PortCaller {
  readonly #port: MessagePort
  readonly #outbox: Outbox
  readonly #limits: Readonly<KeeperLimits>
  readonly #news: (value: unknown) => void
  readonly #pending = new Map<number, Pending>()
  #id = 0
  #waits = 0
  #bytes = 0
  #ended: DoorError | undefined

  /** @param news - told what nobody asked for; must not throw */
  constructor(
    port: MessagePort,
    limits: Readonly<KeeperLimits>,
    news: (value: unknown) => void = () => {},
  ) {
    this.#port = port
    this.#outbox = new Outbox(port)
    this.#limits = limits
    this.#news = news
    port.on('message', (packed: unknown) => {
      for (const message of unpackTurn(packed)) this.#take(decodeMessage(message))
    })
  }

  /**
   * Calls a method; a signal that fires asks for an early answer.
   *
   * @throws `DoorError`: what the other side says; `resource_exhausted` past a limit; `TypeError` for arguments that are no
   *   plain values
   */
  async call(
    method: string,
    args: readonly unknown[],
    options: PortCallOptions = {},
  ): Promise<unknown> {
    return await this.#call(method, args, options, () => {})
  }

  /** Calls a method that tells one thing after the other until the signal fires. It begins with this call. */
  stream(method: string, args: readonly unknown[], signal: AbortSignal): AsyncIterable<unknown> {
    const items = new Topic<unknown>()
    const over = new AbortController()
    const listening = items.listen(AbortSignal.any([signal, over.signal]))
    const end = this.#call(method, args, { signal, waits: true }, (value) => {
      items.publish(value)
    }).finally(() => {
      items.end()
    })
    end.catch(() => {})
    return (async function* () {
      try {
        yield* listening
        if (!signal.aborted) await end
      } finally {
        over.abort()
      }
    })()
  }

  /** Answers everything that waits, and everything that comes, with this error. */
  end(error: DoorError): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#port.close()
    for (const pending of [...this.#pending.values()]) pending.reject(error)
    this.#pending.clear()
  }

  #call(
    method: string,
    args: readonly unknown[],
    { signal, waits = false }: PortCallOptions,
    item: (value: unknown) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended
      const { maxCalls, maxWaits, maxCallBytes } = this.#limits
      const full = waits ? this.#waits >= maxWaits : this.#pending.size - this.#waits >= maxCalls
      if (full) throw tooMany()
      const id = ++this.#id
      const message = encodeMessage({ kind: 'call', id, method, args })
      const bytes = message.byteLength
      if (this.#bytes + bytes > maxCallBytes) throw tooMany()
      const abort = (): void => {
        this.#outbox.send(encodeMessage({ kind: 'abort', id }))
      }
      const settle = (): void => {
        signal?.removeEventListener('abort', abort)
        this.#bytes -= bytes
        if (waits) this.#waits--
      }
      this.#bytes += bytes
      if (waits) this.#waits++
      this.#pending.set(id, {
        bytes,
        waits,
        item,
        resolve: (value) => {
          settle()
          resolve(value)
        },
        reject: (error: Error) => {
          settle()
          reject(error)
        },
      })
      this.#outbox.send(message)
      if (signal?.aborted === true) abort()
      else signal?.addEventListener('abort', abort, { once: true })
    })
  }

  #take(message: Message): void {
    if (message.kind === 'news') {
      this.#news(message.value)
      return
    }
    const pending = this.#pending.get(message.id)
    if (message.kind === 'item') pending?.item(message.value)
    if (message.kind !== 'answer' && message.kind !== 'failed') return
    this.#pending.delete(message.id)
    if (message.kind === 'answer') pending?.resolve(message.value)
    else pending?.reject(errorOf(message.fault))
  }
}

/** Carries out one method. An iterable is told item by item. The signal is made for whoever asks for one. */
export type PortMethod = (
  args: readonly unknown[],
  call: { readonly signal: AbortSignal },
) => Promise<unknown> | AsyncIterable<unknown>

/** A call that runs. Most are over before anybody could end them, and a signal costs more than many a call. */
class Running {
  #stop: AbortController | undefined
  #aborted = false

  get signal(): AbortSignal {
    if (this.#stop === undefined) {
      this.#stop = new AbortController()
      if (this.#aborted) this.#stop.abort()
    }
    return this.#stop.signal
  }

  abort(): void {
    this.#aborted = true
    this.#stop?.abort()
  }
}

/** The answering side. */
export interface PortServer {
  /** Says something that nobody asked for. */
  tell(value: unknown): void
  /** No more calls; what runs is not told any more. */
  close(): void
}

/**
 * Answers the calls of one port. What cannot be read is dropped; a method that `methods` does not hold is `unimplemented`.
 */
export function servePort(
  port: MessagePort,
  methods: ReadonlyMap<string, PortMethod>,
  limits: Readonly<KeeperLimits>,
): PortServer {
  const outbox = new Outbox(port)
  const running = new Map<number, Running>()
  let closed = false
  const say = (message: Message): void => {
    if (!closed) outbox.send(encodeMessage(message))
  }

  const run = async ({ id, method, args }: Message & { kind: 'call' }): Promise<void> => {
    const stop = new Running()
    try {
      const body = methods.get(method)
      if (body === undefined) {
        const name = JSON.stringify(method.slice(0, 64))
        throw new DoorError('unimplemented', `Cannot call ${name}: no such method`, 'no')
      }
      if (running.size >= limits.maxCalls + limits.maxWaits || running.has(id)) throw tooMany()
      running.set(id, stop)
      const result = body(args, stop)
      if (Symbol.asyncIterator in result) {
        for await (const value of result) say({ kind: 'item', id, value })
        say({ kind: 'answer', id, value: undefined })
      } else {
        say({ kind: 'answer', id, value: await result })
      }
    } catch (error) {
      say({ kind: 'failed', id, fault: faultOf(error) })
    } finally {
      if (running.get(id) === stop) running.delete(id)
    }
  }

  port.on('message', (packed: unknown) => {
    for (const message of readable(packed)) {
      if (message.kind === 'call') void run(message)
      else if (message.kind === 'abort') running.get(message.id)?.abort()
    }
  })

  return {
    tell: (value) => {
      say({ kind: 'news', id: 0, value })
    },
    close: () => {
      closed = true
      for (const stop of running.values()) stop.abort()
      port.close()
    },
  }
}

function readable(packed: unknown): readonly Message[] {
  try {
    return unpackTurn(packed).map(decodeMessage)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return []
    throw error
  }
}

function tooMany(): DoorError {
  return new DoorError('resource_exhausted', 'Cannot call keeper: too much waits already', 'no')
}
