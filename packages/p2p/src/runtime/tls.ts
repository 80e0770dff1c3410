/** What this package asks of the platform's TLS. */
import type { VerifyCertificateSignature } from '../connection/certificate.ts'
import type { Pipe } from '../connection/pipe.ts'
import type { P2pLimits } from '../limits.ts'

/** A fresh P-256 key for one certificate. */
export interface CertificateKey {
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  /** ECDSA with SHA-256, in DER. */
  sign(data: Uint8Array): Uint8Array
  /** What a handshake with this certificate, in DER, is made from; many handshakes share it. */
  certify(certificate: Uint8Array): TlsEndpoint
}

/** How one TLS handshake goes. */
export interface TlsOptions {
  server: boolean
  /** Offered as client in this order; as server the client's first that is among them is taken. */
  applicationProtocols: readonly string[]
  /** Use the socket below a pipe itself where there is one. */
  native: boolean
  /** Ends the handshake. */
  signal: AbortSignal
  /** Counted where the bytes pass us; on a socket used itself OpenSSL bounds a message to 100 KiB. */
  maxHandshakeBytes: number
  limits: Pick<P2pLimits, 'maxSocketQueueBytes' | 'closeTimeoutMs'>
}

/** A TLS 1.3 channel whose other end has not been looked at yet. */
export interface TlsChannel {
  /** Paused. Destroying it resets the connection. */
  pipe: Pipe
  /** What the other side presented, in DER, in its order. */
  certificates: readonly Uint8Array[]
  applicationProtocol: string | undefined
}

/** A certificate and its key, ready for handshakes. */
export interface TlsEndpoint {
  /** Takes the pipe over. @throws `P2pError`; the connection is reset then */
  open(pipe: Pipe, options: TlsOptions): Promise<TlsChannel>
}

/** The platform's TLS. */
export interface TlsRuntime {
  /** Whether there is any. */
  readonly available: boolean
  generateCertificateKey(): CertificateKey
  verifyCertificateSignature: VerifyCertificateSignature
}
