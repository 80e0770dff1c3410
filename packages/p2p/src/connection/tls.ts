/**
 * The security channel `/tls/1.0.0` (libp2p/specs tls/tls.md): TLS 1.3 whose certificates carry the identity keys,
 * both sides proven. Knows neither transports nor muxers.
 */
import { cryptoRuntime, tlsRuntime } from '#runtime'

import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import { P2pError } from '../errors.ts'
import { peerIdOfKey, verifySignature } from '../keys.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import type { P2pLimits } from '../limits.ts'
import type { Identity } from '../open-identity.ts'
import type { TlsChannel, TlsEndpoint } from '../runtime/tls.ts'

import { certificateSignedBytes, decodeCertificate, encodeCertificate } from './certificate.ts'
import type { CertifiedIdentity } from './certificate.ts'
import type { Pipe } from './pipe.ts'
import { handshake, notExpected } from './security.ts'
import type { SecureOptions, Secured, Security } from './security.ts'

/** libp2p/specs tls/tls.md. */
export const TLS_PROTOCOL = '/tls/1.0.0'

// libp2p/specs connections/inlined-muxer-negotiation.md: last in the list, and what is taken without a common muxer.
const NO_MUXER = 'libp2p'

// Ours: clocks are off by hours; a certificate is renewed long before anybody can see it expire.
const DAY_MS = 86_400_000
const VALID_BEFORE_MS = DAY_MS
const VALID_FOR_MS = 30 * DAY_MS
const RENEW_AFTER_MS = 15 * DAY_MS

/** What TLS needs once. */
export interface TlsInit {
  /** Whom the certificates prove. */
  identity: Pick<Identity, 'publicKey' | 'sign'>
  /** Tells what is valid. Default the system's. */
  clock?: Pick<Clock, 'nowMs'>
  /** Works on the socket below a pipe itself where the pipe gives it out. Default true. */
  native?: boolean
  /** Of the pipe that comes out. Default the package's. */
  limits?: Pick<P2pLimits, 'maxSocketQueueBytes' | 'closeTimeoutMs'>
}

/**
 * TLS for one node. Makes one certificate, valid for thirty days and made again after fifteen. Where the platform has
 * no TLS, handshakes fail as `unimplemented`.
 */
export function createTls(init: TlsInit): Security {
  return new Tls(init)
}

class Tls implements Security {
  readonly protocol = TLS_PROTOCOL
  readonly #init: Required<TlsInit>
  #endpoint: Promise<TlsEndpoint> | undefined
  #renewAtMs = 0

  constructor(init: TlsInit) {
    this.#init = { clock: systemClock, native: true, limits: DEFAULT_LIMITS, ...init }
  }

  secureOutbound(pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return this.#secure(false, pipe, options)
  }

  secureInbound(pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return this.#secure(true, pipe, options)
  }

  #secure(server: boolean, pipe: Pipe, options: SecureOptions): Promise<Secured> {
    return handshake(pipe, options, async () => {
      const { native, limits } = this.#init
      const { signal, maxHandshakeBytes, muxers } = options
      const endpoint = await this.#certified()
      signal.throwIfAborted()
      const channel = await endpoint.open(pipe, {
        server,
        applicationProtocols: [...muxers, NO_MUXER],
        native,
        signal,
        maxHandshakeBytes,
        limits,
      })
      try {
        const secured = await this.#verify(channel, options)
        signal.throwIfAborted()
        return secured
      } catch (error) {
        channel.pipe.destroy(error instanceof Error ? error : undefined)
        throw error
      }
    })
  }

  async #verify(channel: TlsChannel, options: SecureOptions): Promise<Secured> {
    const { publicKey, key, signedBytes, signature } = this.#read(channel.certificates)
    const peer = peerIdOfKey(publicKey)
    if (options.expected !== undefined && peer !== options.expected)
      throw notExpected(options.expected, peer)
    if (!(await verifySignature(key, signedBytes, signature))) {
      throw new P2pError(
        'unauthenticated',
        'Cannot secure the connection: the identity is not proven',
        {
          layer: 'security',
        },
      )
    }
    const muxer = options.muxers.find((name) => name === channel.applicationProtocol)
    return {
      pipe: channel.pipe,
      remote: { peer, publicKey },
      ...(muxer === undefined ? {} : { muxer }),
    }
  }

  #read(certificates: readonly Uint8Array[]): CertifiedIdentity {
    try {
      const [certificate] = certificates
      if (certificate === undefined)
        throw new SyntaxError('Cannot trust the certificate: there is none')
      if (certificates.length > 1)
        throw new SyntaxError('Cannot trust the certificate: it comes with others')
      const { verifyCertificateSignature } = tlsRuntime
      return decodeCertificate(certificate, this.#init.clock.nowMs(), verifyCertificateSignature)
    } catch (cause) {
      const state =
        cause instanceof SyntaxError ? cause.message : 'Cannot trust the certificate: unreadable'
      throw new P2pError('unauthenticated', state, { layer: 'security', cause })
    }
  }

  /** The endpoint of a certificate that is not due for renewal. */
  #certified(): Promise<TlsEndpoint> {
    const nowMs = this.#init.clock.nowMs()
    if (this.#endpoint === undefined || nowMs >= this.#renewAtMs) {
      this.#renewAtMs = nowMs + RENEW_AFTER_MS
      this.#endpoint = this.#certify(nowMs)
      // Tried again by the next handshake.
      this.#endpoint.catch(() => {
        this.#endpoint = undefined
      })
    }
    return this.#endpoint
  }

  async #certify(nowMs: number): Promise<TlsEndpoint> {
    const { publicKey, sign } = this.#init.identity
    const key = tlsRuntime.generateCertificateKey()
    const certificate = encodeCertificate({
      publicKey,
      signature: await sign(certificateSignedBytes(key.spki)),
      spki: key.spki,
      sign: (data) => key.sign(data),
      serial: cryptoRuntime.random(16),
      notBeforeMs: nowMs - VALID_BEFORE_MS,
      notAfterMs: nowMs + VALID_FOR_MS,
    })
    return key.certify(certificate)
  }
}
