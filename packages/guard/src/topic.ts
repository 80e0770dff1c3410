/** Tells whoever listens. A listener that is too slow loses the oldest of what it did not take. */

/** Most things that wait for one listener. */
const MAX_BUFFERED = 1024

/** Something that is told to any number of listeners. */
export class Topic<T> {
  readonly #listeners = new Set<{ readonly buffer: T[]; wake: (() => void) | undefined }>()
  #ended = false

  /** Tells all who listen now. */
  publish(value: T): void {
    for (const listener of this.#listeners) {
      if (listener.buffer.length === MAX_BUFFERED) listener.buffer.shift()
      listener.buffer.push(value)
      listener.wake?.()
    }
  }

  /** What is told from now on, until the signal or the end. Listening begins with this call. */
  listen(signal: AbortSignal): AsyncIterable<T> {
    const listener = { buffer: [] as T[], wake: undefined as (() => void) | undefined }
    this.#listeners.add(listener)
    const stop = (): void => {
      this.#listeners.delete(listener)
      listener.wake?.()
    }
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    return this.#values(listener, signal, stop)
  }

  /** Everybody who listens has heard all there is. */
  end(): void {
    this.#ended = true
    for (const { wake } of this.#listeners) wake?.()
  }

  async *#values(
    listener: { readonly buffer: T[]; wake: (() => void) | undefined },
    signal: AbortSignal,
    stop: () => void,
  ): AsyncGenerator<T> {
    try {
      for (;;) {
        while (listener.buffer.length > 0 && !signal.aborted) yield listener.buffer.shift() as T
        if (signal.aborted || this.#ended) return
        await new Promise<void>((resolve) => {
          listener.wake = resolve
        })
        listener.wake = undefined
      }
    } finally {
      signal.removeEventListener('abort', stop)
      stop()
    }
  }
}
