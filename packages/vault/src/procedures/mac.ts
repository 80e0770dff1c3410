/** Message authentication codes with a key of the vault. The right tag leaves only by the right to make one. */
import { equalBytes } from '@stronghold/core'

import type { mac, MacFormat, macVerify } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { assembleJws, jwsSigningInput, parseJws } from '../formats/jws.ts'
import { hmac, verify } from '../primitives/hmac.ts'
import type { Hash } from '../primitives/hmac.ts'
import { hasMembers, jwsAlgorithm } from './jws-members.ts'
import { parsed, reading } from './reading.ts'
import type { Implementation } from './registry.ts'

/** `mac` */
export const authenticating: Implementation<typeof mac> = ({ message, as }, { key }) => {
  const secret = key.secret()
  const { version } = key
  if (as?.format !== 'jws') return { tag: hmac(hashOf(as, secret), secret, message), version }
  assertJwsKey(secret)
  const members = as.protected ?? {}
  const input = reading(() => jwsSigningInput(jwsAlgorithm(key.type), members, message))
  return { tag: assembleJws(input, hmac('sha256', secret, input)), version }
}

/** `mac-verify` */
export const checking: Implementation<typeof macVerify> = ({ message, tag, as }, { key }) => {
  const secret = key.secret()
  if (as?.format !== 'jws') return { valid: verify(hashOf(as, secret), secret, message, tag) }
  assertJwsKey(secret)
  const jws = parsed(() => parseJws(tag, jwsAlgorithm(key.type)))
  const valid =
    jws !== undefined &&
    equalBytes(jws.payload, message) &&
    hasMembers(jws.header, as.protected) &&
    verify('sha256', secret, jws.signingInput, jws.signature)
  return { valid }
}

/** The hash that is named, else the one whose output is as long as the key, else SHA-256. */
function hashOf(as: Extract<MacFormat, { format: 'hmac' }> | undefined, secret: Uint8Array): Hash {
  if (as?.hash !== undefined) return as.hash
  return secret.byteLength === 64 ? 'sha512' : secret.byteLength === 48 ? 'sha384' : 'sha256'
}

/** RFC 7518 §3.2: a key of the hash's length or more. */
function assertJwsKey(secret: Uint8Array): void {
  if (secret.byteLength >= 32) return
  throw new VaultError(
    'invalid_argument',
    `Cannot make JWS: HS256 asks for a key of 32 bytes or more, this has ${secret.byteLength}`,
  )
}
