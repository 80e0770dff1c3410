/** Signatures in the formats of the catalog, made and checked. What leaves is a signature; what comes in is public. */
import { concat, encodeUtf8, equalBytes } from '@stronghold/core'

import { formatOf } from '../catalog/index.ts'
import type { sign, SignFormat, verify } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { ecdsaFromDer, ecdsaToDer } from '../formats/ecdsa-signature.ts'
import { GIT_NAMESPACE, readGitObject } from '../formats/git.ts'
import { assembleJws, jwsSigningInput, parseJws } from '../formats/jws.ts'
import { readSshsig, sshsigSubject, writeSshsig, writeSshsigBlob } from '../formats/sshsig.ts'
import type { SshsigSubject } from '../formats/sshsig.ts'
import { SCALAR_BYTES, SIGNATURE_BYTES } from '../primitives/secp256k1.ts'
import type { RecoverableSignature } from '../primitives/secp256k1.ts'
import { ethereumDigest, verifyEthereum, writeEthereum } from './ethereum.ts'
import { hasMembers, jwsAlgorithm } from './jws-members.ts'
import type { Tools } from './pairs.ts'
import { partsOf, sshKey } from './public.ts'
import { parsed, reading } from './reading.ts'
import type { Implementation, ReadHandle, UseHandle } from './registry.ts'
import {
  parsePublicKey,
  sha256,
  signDigest,
  signingType,
  signMessage,
  verifyMessage,
} from './signing.ts'
import type { SigningType, Verifier } from './signing.ts'

type Format = SignFormat['format']

/** What each type of key signs in. */
const FORMATS_OF: Readonly<Record<SigningType, readonly Format[]>> = {
  ed25519: ['raw', 'sshsig', 'git', 'jws'],
  p256: ['raw', 'der', 'sshsig', 'git', 'jws'],
  p384: ['raw', 'der', 'sshsig', 'git', 'jws'],
  secp256k1: ['raw', 'der', 'jws', 'compact', 'recoverable', 'ethereum', 'digest'],
}

/** `sign` */
export function signing(tools: Tools): Implementation<typeof sign> {
  return (input, { key }) => {
    const format = formatOf(input)
    assertFormat(signingType(key.type), format, input.as === undefined)
    const signature = reading(() => signAs(format, key, input.message, tools))
    return { signature, version: key.version }
  }
}

/** `verify` */
export function verifying(tools: Tools): Implementation<typeof verify> {
  return (input, { key }) => {
    const format = formatOf(input)
    const verifier = verifierOf(input.publicKey, key, tools)
    assertFormat(verifier.type, format, input.as === undefined)
    return { valid: verifyAs(format, verifier, input.message, input.signature, tools) }
  }
}

function assertFormat(type: SigningType, { format }: SignFormat, isDefault: boolean): void {
  const known = FORMATS_OF[type]
  if (known.includes(format)) return
  const state = isDefault ? 'no format was named' : `${type} has no format ${format}`
  throw new VaultError('invalid_argument', `Cannot sign: ${state}; it has ${known.join(', ')}`)
}

function verifierOf(
  given: { type: SigningType; bytes: Uint8Array } | undefined,
  key: ReadHandle | undefined,
  tools: Tools,
): Verifier {
  if (given !== undefined) return parsePublicKey(given.type, given.bytes, tools)
  if (key === undefined) throw new TypeError('Cannot verify: neither a key nor a public key')
  return { type: signingType(key.type), publicKey: partsOf(key).publicKey }
}

function signAs(format: SignFormat, key: UseHandle, message: Uint8Array, tools: Tools): Uint8Array {
  switch (format.format) {
    case 'raw':
    case 'compact':
      return signMessage(key, message, tools)
    case 'der':
      return ecdsaToDer(signMessage(key, message, tools))
    case 'recoverable':
      return encodeAs('recoverable', signDigest(key, sha256(message), tools))
    case 'digest':
      return encodeAs(format.encoding, signDigest(key, digestOf(message), tools))
    case 'git':
      // Only what people can be shown; anything else goes by its namespace.
      readGitObject(message)
      return signSshsig(sshsigSubject(GIT_NAMESPACE, message), key, tools)
    case 'sshsig':
      return signSshsig(subjectOf(format, message), key, tools)
    case 'jws':
      return signJws(format, key, message, tools)
    case 'ethereum': {
      const { kind } = format
      return writeEthereum(kind, message, signDigest(key, ethereumDigest(kind, message), tools))
    }
  }
}

function verifyAs(
  format: SignFormat,
  verifier: Verifier,
  message: Uint8Array,
  signature: Uint8Array,
  tools: Tools,
): boolean {
  switch (format.format) {
    case 'raw':
    case 'compact':
      return verifyMessage(verifier, message, signature, tools)
    case 'der': {
      const width = verifier.type === 'p384' ? 48 : 32
      const fixed = parsed(() => ecdsaFromDer(signature, width))
      return fixed !== undefined && verifyMessage(verifier, message, fixed, tools)
    }
    case 'recoverable':
      return verifyDigest('recoverable', verifier, sha256(message), signature, tools)
    case 'digest': {
      const digest = reading(() => digestOf(message))
      return verifyDigest(format.encoding, verifier, digest, signature, tools)
    }
    case 'git':
      return verifySshsig(
        { format: 'sshsig', namespace: GIT_NAMESPACE },
        verifier,
        message,
        signature,
        tools,
      )
    case 'sshsig':
      return verifySshsig(format, verifier, message, signature, tools)
    case 'jws':
      return verifyJws(format, verifier, message, signature, tools)
    case 'ethereum': {
      const { publicKey } = verifier
      return reading(() => verifyEthereum(format.kind, message, signature, publicKey, tools))
    }
  }
}

type SshsigFormat = Extract<SignFormat, { format: 'sshsig' }>
type DigestEncoding = Extract<SignFormat, { format: 'digest' }>['encoding']

function subjectOf(format: SshsigFormat, message: Uint8Array): SshsigSubject {
  const { namespace, hash = 'sha512', digested } = format
  return digested === true
    ? { namespace, hash, digest: message }
    : sshsigSubject(namespace, message, hash)
}

function signSshsig(subject: SshsigSubject, key: UseHandle, tools: Tools): Uint8Array {
  const { namespace, hash } = subject
  const signature = signMessage(key, writeSshsigBlob(subject), tools)
  return encodeUtf8(writeSshsig({ key: sshKey(partsOf(key)), namespace, hash, signature }))
}

/** Key and namespace are what the caller expects, not what the signature says. */
function verifySshsig(
  format: SshsigFormat,
  verifier: Verifier,
  message: Uint8Array,
  text: Uint8Array,
  tools: Tools,
): boolean {
  const sshsig = parsed(() => readSshsig(text))
  if (sshsig?.namespace !== format.namespace) return false
  const { key, hash, signature } = sshsig
  if (format.hash !== undefined && format.hash !== hash) return false
  if (key.type !== verifier.type || !equalBytes(key.publicKey, verifier.publicKey)) return false
  const blob = reading(() => writeSshsigBlob(subjectOf({ ...format, hash }, message)))
  return verifyMessage(verifier, blob, signature, tools)
}

type JwsFormat = Extract<SignFormat, { format: 'jws' }>

function signJws(format: JwsFormat, key: UseHandle, payload: Uint8Array, tools: Tools): Uint8Array {
  const input = jwsSigningInput(jwsAlgorithm(key.type), format.protected ?? {}, payload)
  return assembleJws(input, signMessage(key, input, tools))
}

/** Header members that are named must stand in it; the payload is the message. */
function verifyJws(
  format: JwsFormat,
  verifier: Verifier,
  payload: Uint8Array,
  text: Uint8Array,
  tools: Tools,
): boolean {
  const jws = parsed(() => parseJws(text, jwsAlgorithm(verifier.type)))
  return (
    jws !== undefined &&
    equalBytes(jws.payload, payload) &&
    hasMembers(jws.header, format.protected) &&
    verifyMessage(verifier, jws.signingInput, jws.signature, tools)
  )
}

function digestOf(message: Uint8Array): Uint8Array {
  if (message.byteLength === SCALAR_BYTES) return message
  throw new RangeError(
    `Cannot sign digest: ${message.byteLength} bytes where ${SCALAR_BYTES} are expected`,
  )
}

function encodeAs(
  encoding: DigestEncoding,
  { signature, recoveryId }: RecoverableSignature,
): Uint8Array {
  if (encoding === 'der') return ecdsaToDer(signature)
  return encoding === 'recoverable' ? concat([signature, Uint8Array.of(recoveryId)]) : signature
}

function verifyDigest(
  encoding: DigestEncoding,
  { publicKey }: Verifier,
  digest: Uint8Array,
  signature: Uint8Array,
  { secp256k1 }: Tools,
): boolean {
  if (encoding === 'recoverable') {
    const recoveryId = signature[SIGNATURE_BYTES] ?? 4
    if (signature.byteLength !== SIGNATURE_BYTES + 1 || recoveryId > 3) return false
    const compact = signature.subarray(0, SIGNATURE_BYTES)
    const found = secp256k1.recover(digest, compact, recoveryId)
    // Low s is checked apart: recovering takes either.
    return (
      found !== undefined &&
      equalBytes(found, publicKey) &&
      secp256k1.verify(publicKey, digest, compact)
    )
  }
  const compact = encoding === 'der' ? parsed(() => ecdsaFromDer(signature, 32)) : signature
  return compact !== undefined && secp256k1.verify(publicKey, digest, compact)
}
