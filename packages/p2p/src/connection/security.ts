/**
 * What a security channel is: a pipe in, an authenticated and encrypted pipe out. Knows neither how a channel was
 * chosen nor what runs on it.
 */
import { P2pError } from '../errors.ts'
import type { PeerId } from '../identity.ts'

import type { Pipe } from './pipe.ts'

/** One way to secure a pipe. Both calls take the pipe over: it is theirs, whatever comes. */
export interface Security {
  /** The protocol id under which it is negotiated. */
  readonly protocol: string
  /** Secures a connection that we opened. @throws `P2pError` as `SecureOptions` tells; the pipe is reset then */
  secureOutbound(pipe: Pipe, options: SecureOptions): Promise<Secured>
  /** Secures a connection that was opened to us. @throws `P2pError` as for `secureOutbound` */
  secureInbound(pipe: Pipe, options: SecureOptions): Promise<Secured>
}

/** How one handshake goes. */
export interface SecureOptions {
  /** Ends the handshake, which then fails with `signal.reason`. The only clock a handshake has. */
  signal: AbortSignal
  /** Who must be at the other end; anybody else is refused with `unauthenticated`. */
  expected?: PeerId
  /** Muxers to offer inside the handshake, in order of preference; none switches early negotiation off. */
  muxers: readonly string[]
  /** Bytes taken from the other side until the pipe is secured; past it `resource_exhausted`. */
  maxHandshakeBytes: number
}

/** A secured pipe, paused and without a listener. */
export interface Secured {
  pipe: Pipe
  /** The other side, proven. */
  remote: {
    peer: PeerId
    /** Its public key, as the libp2p protobuf. */
    publicKey: Uint8Array
  }
  /** The muxer both sides agreed on inside the handshake; without one it is negotiated afterwards. */
  muxer?: string
}

/**
 * Runs one handshake on a pipe: whatever goes wrong, the pipe is destroyed and one error comes out; an abort ends it
 * at once with `signal.reason`. For implementations of `Security`.
 */
export async function handshake(
  pipe: Pipe,
  { signal }: SecureOptions,
  run: () => Promise<Secured>,
): Promise<Secured> {
  const aborted = Promise.withResolvers<never>()
  // Nobody may be waiting any more when the signal comes.
  aborted.promise.catch(() => undefined)
  const onAbort = (): void => {
    aborted.reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    return await Promise.race([run(), aborted.promise])
  } catch (error) {
    pipe.destroy(error instanceof Error ? error : new Error('the handshake was aborted'))
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** The error for another peer than the expected one. */
export function notExpected(expected: PeerId, actual: PeerId): P2pError {
  const message = `Cannot secure the connection: '${actual}' answered where '${expected}' was expected`
  return new P2pError('unauthenticated', message, { layer: 'security', peer: expected })
}
