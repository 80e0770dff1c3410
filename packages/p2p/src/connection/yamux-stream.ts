/** One stream of a Yamux session: what is known of it, and whom it tells. The session's to change, nobody else's. */
import { FLAG, INITIAL_WINDOW_BYTES } from './yamux-frame.ts'

/**
 * Why a stream failed: `reset` by the other side; `refused` here, for breaking the protocol of streams; `unread` bytes
 * past a limit; `session` over.
 */
export type StreamFailure = 'reset' | 'refused' | 'unread' | 'session'

/** The upper end of one stream. Every call may come from within a call to the session. */
export interface YamuxStreamHandler {
  /** Whether data would be kept and given to `consume` later, instead of being consumed in the call. */
  readonly holding: boolean
  /** Payload as it arrived: a view of what was received, which is not the handler's once this returned. */
  data(chunk: Uint8Array): void
  /** A stream whose `write` said false takes more. */
  drain(): void
  /** The other side half-closed. */
  remoteEnd(): void
  /** Both sides half-closed and everything was consumed. The last call. */
  finished(): void
  /** Over at once. The last call. */
  failed(why: StreamFailure): void
}

/** State of one stream. Owned by its session; others read `id`, `inbound` and `queuedBytes`. */
export class YamuxStream {
  readonly id: number
  readonly inbound: boolean
  handler: YamuxStreamHandler | undefined
  over = false

  queue: Uint8Array[] = []
  queueHead = 0
  headOffset = 0
  writes: number[] = [] // bytes left of each write: one ends its last frame
  writesHead = 0
  queuedBytes = 0
  cutBytes = 0 // of a frame that the window cut: sent by themselves, so that those behind it begin where they would have
  sendWindow: number = INITIAL_WINDOW_BYTES
  uncreditedBytes = 0 // sent and not yet granted again: window updates that may still come
  flags: number // SYN or ACK that goes with the next frame
  acknowledged: boolean
  ending = false
  finSent = false
  ready = false
  waiting = false // for an acknowledgement of other streams
  full = false

  receiveWindow: number = INITIAL_WINDOW_BYTES
  consumedBytes = 0 // since the last window update
  heldBytes = 0
  grant = false // a window update is due however small
  remoteEnded = false

  constructor(id: number, inbound: boolean) {
    this.id = id
    this.inbound = inbound
    this.flags = inbound ? FLAG.ack : FLAG.syn
    this.acknowledged = inbound
  }
}
