/**
 * Our security channels as libp2p's connection encrypters, for upgraders of others. Ours takes the channels as they
 * are.
 */
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { UnexpectedPeerError, serviceCapabilities } from '@libp2p/interface'
import type {
  ConnectionEncrypter,
  MessageStream,
  PrivateKey,
  SecureConnectionOptions,
  SecuredConnection,
  Upgrader,
} from '@libp2p/interface'

import { isP2pError } from '../errors.ts'
import { peerIdOf, toLibp2pPeerId } from '../identity.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import type { Identity } from '../open-identity.ts'

import { PipeStream, pipeOf } from './message-stream.ts'
import { createNoise } from './noise.ts'
import { createTls } from './tls.ts'
import type { NoiseInit } from './noise.ts'
import type { Pipe } from './pipe.ts'
import type { SecureOptions, Secured, Security } from './security.ts'
import type { TlsInit } from './tls.ts'

/** What an encrypter takes from a libp2p node. */
export interface EncrypterComponents {
  privateKey: PrivateKey
  /** Names the muxers for early negotiation. */
  upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

/** Without `identity`, the node's own key is proven; ECDSA identities must be given here. */
type Given<Init extends { identity: unknown }> = Omit<Init, 'identity'> &
  Partial<Pick<Init, 'identity'>>

/** Makes an encrypter for a libp2p node. */
export type EncrypterFactory = (components: EncrypterComponents) => ConnectionEncrypter

/**
 * `/noise` for `createLibp2p({ connectionEncrypters })`. Nothing waits to be joined: libp2p's connections close both
 * directions at once, and what left last would have no time to be answered.
 */
export function noise(init: Given<NoiseInit> = {}): EncrypterFactory {
  return (components) =>
    new Encrypter(components, createNoise({ identity: own(components), join: false, ...init }))
}

/** `/tls/1.0.0` for `createLibp2p({ connectionEncrypters })`; on Node.js only. */
export function tls(init: Given<TlsInit> = {}): EncrypterFactory {
  return (components) =>
    new Encrypter(components, createTls({ identity: own(components), ...init }))
}

class Encrypter implements ConnectionEncrypter {
  readonly protocol: string
  readonly [serviceCapabilities] = ['@libp2p/connection-encryption']
  readonly #components: EncrypterComponents
  readonly #security: Security

  constructor(components: EncrypterComponents, security: Security) {
    this.#components = components
    this.#security = security
    this.protocol = security.protocol
  }

  secureOutbound(
    stream: MessageStream,
    options?: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    return this.#secure(stream, options, (pipe, o) => this.#security.secureOutbound(pipe, o))
  }

  secureInbound(
    stream: MessageStream,
    options?: SecureConnectionOptions,
  ): Promise<SecuredConnection> {
    return this.#secure(stream, options, (pipe, o) => this.#security.secureInbound(pipe, o))
  }

  async #secure(
    stream: MessageStream,
    { remotePeer, signal, skipStreamMuxerNegotiation }: SecureConnectionOptions = {},
    run: (pipe: Pipe, options: SecureOptions) => Promise<Secured>,
  ): Promise<SecuredConnection> {
    const muxers = this.#components.upgrader.getStreamMuxers()
    const expected = remotePeer === undefined ? undefined : peerIdOf(remotePeer)
    try {
      const { pipe, remote, muxer } = await run(pipeOf(stream), {
        signal: signal ?? new AbortController().signal,
        ...(expected === undefined ? {} : { expected }),
        muxers: skipStreamMuxerNegotiation === true ? [] : [...muxers.keys()],
        maxHandshakeBytes: DEFAULT_LIMITS.maxHandshakeBytes,
      })
      const streamMuxer = muxer === undefined ? undefined : muxers.get(muxer)
      return {
        // A stream, not a connection: it can be half-closed, as the channel can.
        connection: new PipeStream(pipe, {
          id: this.protocol,
          protocol: this.protocol,
          direction: stream.direction,
          log: stream.log,
          inactivityTimeout: stream.inactivityTimeout,
          maxReadBufferLength: stream.maxReadBufferLength,
        }),
        remotePeer: toLibp2pPeerId(remote.peer),
        ...(streamMuxer === undefined ? {} : { streamMuxer }),
      }
    } catch (error) {
      // libp2p's own name for it.
      if (
        isP2pError(error, 'unauthenticated') &&
        expected !== undefined &&
        error.peer === expected
      ) {
        throw new UnexpectedPeerError(error.message)
      }
      throw error
    }
  }
}

function own({ privateKey }: EncrypterComponents): Pick<Identity, 'publicKey' | 'sign'> {
  return {
    publicKey: publicKeyToProtobuf(privateKey.publicKey),
    sign: async (data) => privateKey.sign(data),
  }
}
