/**
 * The security channel `/noise` (libp2p/specs noise/README.md): Noise XX, in which both sides prove their identity
 * keys. Knows neither transports nor muxers.
 */
import { cryptoRuntime } from '#runtime'

import { P2pError } from '../errors.ts'
import { decodePublicKey, peerIdOfKey, verifySignature } from '../keys.ts'
import type { PublicKey } from '../keys.ts'
import type { Identity } from '../open-identity.ts'
import type { AeadMaker, CryptoRuntime, DhKey } from '../runtime/crypto.ts'

import { LENGTH_BYTES } from './noise-frames.ts'
import { MAX_MESSAGE_BYTES, NoiseError, XXHandshake } from './noise-handshake.ts'
import { NoisePipe } from './noise-pipe.ts'
import { decodePayload, encodePayload, signedBytes } from './noise-payload.ts'
import type { NoisePayload } from './noise-payload.ts'
import type { Pipe } from './pipe.ts'
import { PipeReader } from './reader.ts'
import { handshake, notExpected } from './security.ts'
import { Slabs } from './slabs.ts'
import type { SecureOptions, Secured, Security } from './security.ts'

/** libp2p/specs noise/README.md "Negotiation". */
export const NOISE_PROTOCOL = '/noise'

const NO_BYTES = new Uint8Array(0)

/** What Noise needs once. */
export interface NoiseInit {
  /** Whom the handshakes prove. */
  identity: Pick<Identity, 'publicKey' | 'sign'>
  /** Bytes both sides must have in common. Default none. */
  prologue?: Uint8Array
  /** Joins what is written in one turn into one message. Default true. */
  join?: boolean
  /** Default the platform's. */
  crypto?: CryptoRuntime
}

/** Noise for one node. Makes one static key, which the identity signs once, and an ephemeral key per handshake. */
export function createNoise(init: NoiseInit): Security {
  return new Noise(init)
}

class Noise implements Security {
  readonly protocol = NOISE_PROTOCOL
  readonly #identity: NoiseInit['identity']
  readonly #prologue: Uint8Array
  readonly #join: boolean
  readonly #crypto: CryptoRuntime
  readonly #createAead: AeadMaker
  readonly #staticKey: DhKey
  readonly #slabs = new Slabs()
  #signature: Promise<Uint8Array> | undefined

  constructor({ identity, prologue = NO_BYTES, join = true, crypto = cryptoRuntime }: NoiseInit) {
    this.#identity = identity
    this.#prologue = prologue
    this.#join = join
    this.#crypto = crypto
    this.#createAead = crypto.createAead
    this.#staticKey = crypto.generateDhKey()
  }

  secureOutbound(pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return this.#secure(true, pipe, options)
  }

  secureInbound(pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return this.#secure(false, pipe, options)
  }

  #secure(initiator: boolean, pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return handshake(pipe, options, async () => {
      const state = new XXHandshake({
        crypto: this.#crypto,
        createAead: this.#createAead,
        initiator,
        prologue: this.#prologue,
        staticKey: this.#staticKey,
        ephemeralKey: this.#crypto.generateDhKey(),
      })
      try {
        return await this.#exchange(initiator, state, pipe, options)
      } catch (cause) {
        if (!(cause instanceof NoiseError)) throw cause
        throw new P2pError('unauthenticated', 'Cannot secure the connection: Noise failed', {
          layer: 'security',
          cause,
        })
      } finally {
        state.wipe()
      }
    })
  }

  async #exchange(
    initiator: boolean,
    state: XXHandshake,
    pipe: Pipe,
    options: SecureOptions,
  ): Promise<Secured> {
    const reader = new PipeReader(pipe, { maxBytes: options.maxHandshakeBytes, layer: 'security' })
    const write = (payload: Uint8Array): void => {
      writeMessage(pipe, state.write(payload))
    }
    const read = async (): Promise<Uint8Array> => state.read(await readMessage(reader))
    const own = await this.#payload(options.muxers)
    let theirs: Uint8Array
    if (initiator) {
      write(NO_BYTES)
      theirs = await read()
    } else {
      // Nothing protects a payload in the first message, so libp2p has none there.
      if ((await read()).byteLength > 0)
        throw new NoiseError('Cannot read the handshake: a payload too early')
      write(encodePayload(own))
      theirs = await read()
    }
    const remote = parse(theirs)
    await verify(remote, state.remoteStaticKey, options)
    const muxer = initiator
      ? chooseMuxer(own.muxers, remote.payload.muxers)
      : chooseMuxer(remote.payload.muxers, own.muxers)
    // The choice alone, so that the other side cannot come to another, and nothing to those who offered nothing.
    if (initiator) write(encodePayload({ ...own, muxers: muxer === undefined ? [] : [muxer] }))
    const { outbound, inbound } = state.split()
    reader.release()
    return {
      pipe: new NoisePipe(pipe, outbound, inbound, { join: this.#join, slabs: this.#slabs }),
      remote: { peer: peerIdOfKey(remote.payload.publicKey), publicKey: remote.payload.publicKey },
      ...(muxer === undefined ? {} : { muxer }),
    }
  }

  async #payload(muxers: readonly string[]): Promise<NoisePayload> {
    this.#signature ??= this.#identity.sign(signedBytes(this.#staticKey.publicKey))
    return { publicKey: this.#identity.publicKey, signature: await this.#signature, muxers }
  }
}

function writeMessage(pipe: Pipe, message: Uint8Array): void {
  const frame = new Uint8Array(LENGTH_BYTES + message.byteLength)
  if (message.byteLength > MAX_MESSAGE_BYTES) throw new RangeError('Cannot write: message too long')
  frame[0] = message.byteLength >> 8
  frame[1] = message.byteLength & 0xff
  frame.set(message, LENGTH_BYTES)
  pipe.write([frame])
}

async function readMessage(reader: PipeReader): Promise<Uint8Array> {
  const [high = 0, low = 0] = await reader.read(LENGTH_BYTES)
  return reader.read(high * 256 + low)
}

interface Remote {
  payload: NoisePayload
  key: PublicKey
}

function parse(bytes: Uint8Array): Remote {
  try {
    // Copies: what is kept of them must not keep the whole handshake.
    const { publicKey, signature, muxers } = decodePayload(bytes)
    const payload = { publicKey: new Uint8Array(publicKey), signature, muxers }
    return { payload, key: decodePublicKey(payload.publicKey) }
  } catch (cause) {
    throw new P2pError('invalid_argument', 'Cannot secure the connection: malformed payload', {
      layer: 'security',
      cause,
    })
  }
}

async function verify(
  remote: Remote,
  staticKey: Uint8Array,
  options: SecureOptions,
): Promise<void> {
  const peer = peerIdOfKey(remote.payload.publicKey)
  // Before the signature: it costs nothing and says more.
  if (options.expected !== undefined && peer !== options.expected)
    throw notExpected(options.expected, peer)
  if (await verifySignature(remote.key, signedBytes(staticKey), remote.payload.signature)) return
  throw new P2pError(
    'unauthenticated',
    'Cannot secure the connection: the identity is not proven',
    {
      layer: 'security',
    },
  )
}

// libp2p/specs connections/inlined-muxer-negotiation.md: the initiator's first that both have; none in common fails.
function chooseMuxer(
  initiators: readonly string[],
  responders: readonly string[],
): string | undefined {
  if (initiators.length === 0 || responders.length === 0) return undefined
  const muxer = initiators.find((name) => responders.includes(name))
  if (muxer !== undefined) return muxer
  throw new P2pError('failed_precondition', 'Cannot secure the connection: no muxer in common', {
    layer: 'security',
  })
}
