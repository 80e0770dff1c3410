/**
 * TLS 1.3 on Node.js: on the socket of a pipe where there is one, else on a stream around the pipe. Whom it talks to
 * is for others to decide: it asks for a certificate and takes any.
 */
import {
  constants,
  createPublicKey,
  generateKeyPairSync,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto'
import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { TLSSocket, connect, createSecureContext } from 'node:tls'
import type { ConnectionOptions, SecureContext } from 'node:tls'

import type { Pipe } from '../connection/pipe.ts'
import { P2pError } from '../errors.ts'
import { SocketPipe } from '../transports/socket-pipe.ts'

import type { CertificateKey, TlsChannel, TlsOptions, TlsRuntime } from './tls.ts'

// Ours: more than one is refused, so nobody needs more looked at.
const MAX_CERTIFICATES = 2

/** The platform's TLS, on Node.js. */
export const tlsRuntime: TlsRuntime = {
  available: true,
  generateCertificateKey: (): CertificateKey => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    return {
      spki: publicKey.export({ format: 'der', type: 'spki' }),
      sign: (data) => signBytes('sha256', data, privateKey),
      certify: (certificate) => {
        const context = createSecureContext({
          key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
          cert: toPem(certificate),
          minVersion: 'TLSv1.3',
          secureOptions: constants.SSL_OP_NO_TICKET,
        })
        return { open: (pipe, options) => open(context, pipe, options) }
      },
    }
  },

  verifyCertificateSignature: (digest, spki, data, signature) => {
    try {
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
      return verifyBytes(digest === 'none' ? undefined : digest, data, key, signature)
    } catch {
      return false
    }
  },
}

async function open(context: SecureContext, pipe: Pipe, options: TlsOptions): Promise<TlsChannel> {
  const below = options.native ? takeSocket(pipe) : undefined
  const carrier = below ?? new PipeDuplex(pipe, options.maxHandshakeBytes)
  const socket = options.server
    ? accept(carrier, context, options)
    : dial(carrier, context, options)
  socket.resetAndDestroy = () => {
    if (below !== undefined) resetWhenDestroyed(below)
    return socket.destroy()
  }
  try {
    await established(socket, carrier, options)
    if (carrier instanceof PipeDuplex) carrier.allowedBytes = undefined
    return {
      certificates: certificatesOf(socket),
      applicationProtocol:
        socket.alpnProtocol === false ? undefined : (socket.alpnProtocol ?? undefined),
      pipe: new SocketPipe(socket, options.limits),
    }
  } catch (error) {
    socket.resetAndDestroy()
    throw error
  }
}

/**
 * The handle of a TLS socket is no TCP handle and cannot be reset; the one below can, but only in its turn: closed
 * before the TLS socket that works on it, it takes the process along.
 */
function resetWhenDestroyed(below: Socket): void {
  const destroy = below.destroy.bind(below)
  let resetting = false
  below.destroy = (error) => {
    if (resetting || below.closed) return destroy(error)
    resetting = true
    return below.resetAndDestroy()
  }
}

function dial(carrier: Duplex, context: SecureContext, options: TlsOptions): TLSSocket {
  const init: ConnectionOptions = {
    ...common(context),
    socket: carrier,
    ALPNProtocols: [...options.applicationProtocols],
    // No name is sent and none is looked for: who answers stands in the libp2p extension.
    checkServerIdentity: () => undefined,
  }
  return connect(init)
}

function accept(carrier: Duplex, context: SecureContext, options: TlsOptions): TLSSocket {
  return new TLSSocket(carrier, {
    ...common(context),
    isServer: true,
    requestCert: true,
    ALPNCallback: ({ protocols }) =>
      protocols.find((protocol) => options.applicationProtocols.includes(protocol)),
  })
}

function common(context: SecureContext): {
  secureContext: SecureContext
  rejectUnauthorized: false
} {
  return { secureContext: context, rejectUnauthorized: false }
}

function established(
  socket: TLSSocket,
  carrier: Duplex,
  { server, signal }: TlsOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: unknown
    const settle = (run: () => void): void => {
      socket.off(server ? 'secure' : 'secureConnect', onSecure)
      socket.off('end', onClose)
      socket.off('close', onClose)
      signal.removeEventListener('abort', onAbort)
      run()
    }
    const onSecure = (): void => {
      // A listener's session tickets, which cannot be switched off, are written behind this event; a reset that came
      // before them would read as an end.
      if (server) setImmediate(settle, resolve)
      else settle(resolve)
    }
    const onClose = (): void => {
      settle(() => {
        reject(failed((carrier instanceof PipeDuplex ? carrier.failure : undefined) ?? failure))
      })
    }
    const onAbort = (): void => {
      settle(() => {
        reject(signal.reason as Error)
      })
    }
    socket.on(server ? 'secure' : 'secureConnect', onSecure)
    // The sockets stay half-open by themselves; a handshake does not.
    socket.on('end', onClose)
    socket.on('close', onClose)
    // Never taken off: a socket without it would end the process.
    socket.on('error', (error) => {
      failure ??= error
    })
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
}

function failed(cause: unknown): P2pError {
  if (cause instanceof P2pError) return cause
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return code.startsWith('ERR_SSL_') || code === 'EPROTO'
    ? new P2pError('invalid_argument', 'Cannot secure the connection: TLS failed', {
        layer: 'security',
        cause,
      })
    : new P2pError('unavailable', 'Cannot secure the connection: it ended', {
        layer: 'security',
        cause,
      })
}

/** What was presented, in order. Node.js hangs each certificate on the one before as its issuer, related or not. */
function certificatesOf(socket: TLSSocket): Uint8Array[] {
  const certificates: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && certificates.length < MAX_CERTIFICATES) {
    certificates.push(new Uint8Array(next.raw))
    next = next.issuerCertificate
  }
  return certificates
}

function takeSocket(pipe: Pipe): Socket | undefined {
  const taken = pipe.takeSocket?.()
  if (!(taken?.socket instanceof Socket)) return undefined
  // Node.js hands what a socket has read already to the TLS socket around it.
  if (taken.head.byteLength > 0) taken.socket.unshift(taken.head)
  return taken.socket
}

function toPem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

/** A pipe as a stream of Node.js. */
class PipeDuplex extends Duplex {
  readonly #pipe: Pipe
  #ended = false
  #blocked: ((error?: Error | null) => void) | undefined
  /** Bytes that may still come in; without end when undefined. */
  allowedBytes: number | undefined
  /** Why it was destroyed. Kept from the stream: an error event below a TLS socket reaches nobody. */
  failure: Error | undefined

  constructor(pipe: Pipe, maxHandshakeBytes: number) {
    // Destroyed when both directions ended, it would take what the TLS socket has not delivered along.
    super({ allowHalfOpen: true, autoDestroy: false })
    this.#pipe = pipe
    this.allowedBytes = maxHandshakeBytes
    pipe.listen({
      data: (chunk) => {
        if (this.#allows(chunk) && !this.push(chunk)) pipe.pause()
      },
      drain: () => {
        const blocked = this.#blocked
        this.#blocked = undefined
        blocked?.()
      },
      end: () => {
        this.#ended = true
        this.push(null)
      },
      close: (error) => {
        this.failure ??= error
        if (error !== undefined || !this.#ended) this.destroy()
      },
    })
  }

  override _read(): void {
    this.#pipe.resume()
  }

  override _write(
    chunk: Uint8Array,
    _: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#send([chunk], done)
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  override _final(done: () => void): void {
    this.#pipe.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#ended || !this.writableFinished)
      this.#pipe.destroy(this.failure ?? error ?? undefined)
    done(null)
  }

  #allows(chunk: Uint8Array): boolean {
    if (this.allowedBytes === undefined) return true
    this.allowedBytes -= chunk.byteLength
    if (this.allowedBytes >= 0) return true
    this.failure ??= new P2pError(
      'resource_exhausted',
      'Cannot finish the handshake: too many bytes',
      {
        layer: 'limit',
      },
    )
    this.destroy()
    return false
  }

  #send(chunks: readonly Uint8Array[], done: (error?: Error | null) => void): void {
    if (this.#pipe.write(chunks)) done()
    else this.#blocked = done
  }
}
