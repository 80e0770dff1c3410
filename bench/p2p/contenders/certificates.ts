/**
 * Certificates for whatever speaks TLS: P-256, self-signed, one for each side, and each side trusts the other's alone.
 * Knows nothing of who uses them.
 */
import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto'

import { encodeCertificate } from '../../../packages/p2p/src/connection/certificate.ts'

/** A key and its certificate, both PEM. */
export interface KeyAndCertificate {
  key: string
  cert: string
}

/** What a server makes for both sides, and hands to the client as part of its address. */
export interface Certificates {
  server: KeyAndCertificate
  client: KeyAndCertificate
}

/** Makes both. */
export function makeCertificates(): Certificates {
  return { server: make(), client: make() }
}

function make(): KeyAndCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const der = encodeCertificate({
    // The extension that libp2p asks for is there and says nothing: whoever uses these does not look at it.
    publicKey: new Uint8Array(36),
    signature: new Uint8Array(64),
    spki: publicKey.export({ type: 'spki', format: 'der' }),
    sign: (data) => createSign('sha256').update(data).sign(privateKey),
    serial: randomBytes(16),
    notBeforeMs: Date.now() - 3_600_000,
    notAfterMs: Date.now() + 86_400_000,
  })
  const text = Buffer.from(der)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${text.trimEnd()}\n-----END CERTIFICATE-----\n`,
  }
}
