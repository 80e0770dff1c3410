/** Certificates that a test makes wrong in one place, and TLS ends of Node.js that present them. */
import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { TLSSocket, connect } from 'node:tls'
import type { Socket } from 'node:net'

import { concat, encodeUtf8, fromHex } from '@stronghold/core'

import { certificateSignedBytes } from '../../src/connection/certificate.ts'
import * as asn1 from '../../src/der.ts'
import type { Identity } from '../../src/open-identity.ts'

const { der, derBits, derNatural, derOid } = asn1

export interface Craft {
  identity: Identity
  /** Seconds from now. Default −60 and 3,600. */
  validFrom?: number
  validTo?: number
  /** Before, instead of and after the libp2p extension. */
  before?: Uint8Array[]
  libp2p?: Uint8Array | null
  after?: Uint8Array[]
  /** Changes the part that is signed, after it was. */
  alter?: (toBeSigned: Uint8Array) => Uint8Array
  /** Signs the wrong thing with the identity. */
  misproven?: boolean
  version?: number
  /** AlgorithmIdentifier inside and outside. */
  inner?: Uint8Array
  outer?: Uint8Array
  times?: Uint8Array[]
  trailing?: Uint8Array
}

export interface Crafted {
  certificate: Uint8Array
  key: KeyObject
}

export const LIBP2P_OID = '1.3.6.1.4.1.53594.1.1'
const ECDSA_WITH_SHA256 = fromHex('300a06082a8648ce3d040302')

export function extension(oid: string, value: Uint8Array, critical?: number): Uint8Array {
  const flag = critical === undefined ? [] : [der(asn1.BOOLEAN, Uint8Array.of(critical))]
  return der(asn1.SEQUENCE, derOid(oid), ...flag, der(asn1.OCTET_STRING, value))
}

function time(seconds: number): Uint8Array {
  const text = new Date(Date.now() + seconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')
  return der(asn1.GENERALIZED_TIME, encodeUtf8(text))
}

export async function signedKey(identity: Identity, spki: Uint8Array): Promise<Uint8Array> {
  return der(
    asn1.SEQUENCE,
    der(asn1.OCTET_STRING, identity.publicKey),
    der(asn1.OCTET_STRING, await identity.sign(certificateSignedBytes(spki))),
  )
}

export async function craft(init: Craft): Promise<Crafted> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const { identity, before = [], after = [] } = init
  const proven = init.misproven === true ? new Uint8Array(91) : spki
  const own = init.libp2p ?? extension(LIBP2P_OID, await signedKey(identity, proven))
  const extensions = [...before, ...(init.libp2p === null ? [] : [own]), ...after]
  const name = der(asn1.SEQUENCE)
  const times = init.times ?? [time(init.validFrom ?? -60), time(init.validTo ?? 3600)]
  const toBeSigned = der(
    asn1.SEQUENCE,
    der(0xa0, derNatural(Uint8Array.of(init.version ?? 2))),
    derNatural(Uint8Array.of(1)),
    init.inner ?? ECDSA_WITH_SHA256,
    name,
    der(asn1.SEQUENCE, ...times),
    name,
    spki,
    ...(extensions.length > 0 ? [der(0xa3, der(asn1.SEQUENCE, ...extensions))] : []),
  )
  const signature = sign('sha256', toBeSigned, privateKey)
  const altered = init.alter?.(Uint8Array.from(toBeSigned)) ?? toBeSigned
  const certificate = der(
    asn1.SEQUENCE,
    altered,
    init.outer ?? ECDSA_WITH_SHA256,
    derBits(signature),
  )
  return { certificate: concat([certificate, init.trailing ?? new Uint8Array(0)]), key: privateKey }
}

export function pem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  const text = lines.join('\n')
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
}

/** A TLS end of Node.js itself, on a socket, that presents these and takes anybody. */
export function plainTls(
  socket: Socket,
  server: boolean,
  own: Crafted | undefined,
  more: { others?: Uint8Array[]; alpn?: string[]; maxVersion?: 'TLSv1.2' } = {},
): TLSSocket {
  const options = {
    rejectUnauthorized: false,
    ALPNProtocols: more.alpn ?? ['libp2p'],
    ...(more.maxVersion === undefined ? {} : { maxVersion: more.maxVersion }),
    ...(own === undefined
      ? {}
      : {
          key: own.key.export({ format: 'pem', type: 'pkcs8' }),
          cert: [own.certificate, ...(more.others ?? [])].map(pem).join(''),
        }),
  }
  const tls = server
    ? new TLSSocket(socket, { ...options, isServer: true, requestCert: true })
    : connect({ ...options, socket, checkServerIdentity: () => undefined })
  tls.on('error', () => {})
  return tls
}
