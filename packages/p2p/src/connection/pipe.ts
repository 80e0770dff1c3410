/**
 * A pipe: two-way bytes between two ends, the one thing that transports, security channels, the muxer and the
 * request channel have in common. Each layer takes a pipe and gives one. It knows nothing of libp2p.
 */

/** What a pipe tells whoever listens to it. No call after `close`. */
export interface PipeEvents {
  /** Bytes arrived; they belong to the listener, unless it only borrows them. Never called while paused. */
  data(chunk: Uint8Array): void
  /**
   * The listener keeps nothing of a chunk, nor gives it back, once its `data` returned: the memory may be freed or used
   * again then. It may still change it before.
   */
  readonly borrows?: true | undefined
  /** A pipe whose `write` said false takes more. */
  drain(): void
  /** The other side writes no more. Not called when the pipe broke. */
  end(): void
  /** Over, in both directions; without an error both sides ended cleanly. The last call. */
  close(error?: Error): void
}

/** Our end of a socket. */
export interface LocalEnd {
  /** An IP address. */
  readonly host: string
  readonly port: number
}

/** Bytes both ways, in order, with backpressure both ways. Starts paused and without a listener. */
export interface Pipe {
  /**
   * Queues chunks to leave in one write where the pipe below can do that. The pipe may keep them and never changes
   * them; the writer does not change them either, but after `released`, which a pipe that knows calls once it needs no
   * chunk of this write any more, perhaps before it returns; others never do. False means full: nothing more should be
   * written before `drain`. Ignored once ended or closed.
   */
  write(chunks: readonly Uint8Array[], released?: () => void): boolean
  /** Half-close: no more will be written; what was queued still leaves. Idempotent. */
  end(): void
  /** Drops what is queued and closes both directions at once: a reset. Idempotent. */
  destroy(error?: Error): void
  /** No more `data` until `resume`; the sender is slowed down, nothing is lost. */
  pause(): void
  resume(): void
  /** Gives unread bytes back; they are the next `data`, after `resume`. */
  unshift(chunk: Uint8Array): void
  /** Replaces the listener: the next layer takes over. Does not resume. */
  listen(events: PipeEvents): void
  /**
   * Hands over the platform's own socket with the bytes not yet delivered, for TLS that works on it directly. The pipe
   * is dead from then on and tells its listener nothing; `closed` is called when the socket is. Absent or undefined
   * where there is no socket, or it cannot be had now.
   */
  takeSocket?(
    closed?: (error?: Error) => void,
  ): { readonly socket: unknown; readonly head: Uint8Array } | undefined
  /** Our end of the socket underneath, where there is one and it is open. */
  readonly local?: LocalEnd | undefined
  /** Bytes written and not yet taken by the layer below. */
  readonly queuedBytes: number
  /** True after `close` was or would have been told. */
  readonly closed: boolean
}
