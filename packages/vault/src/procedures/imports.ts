/**
 * Secrets that come in, in the forms that others write. What a file says of its public half is a claim: it must be the
 * one that is computed. An OpenSSH key is read before the batch, since the KDF of an encrypted one takes a while.
 */
import { encodeUtf8, equalBytes } from '@stronghold/core'
import type { z } from 'zod'

import { ownUses } from '../catalog/index.ts'
import type { importSecret, RecordType } from '../catalog/index.ts'
import { readPrivateJwk } from '../formats/jwk.ts'
import type { PrivateJwk } from '../formats/jwk.ts'
import { readPkcs8, readPrivatePem } from '../formats/pkcs8.ts'
import { readSshKey } from '../formats/ssh-key.ts'
import type { Slab } from '../secret.ts'
import { makeRecord } from './pairs.ts'
import type { Tools } from './pairs.ts'
import { asRefusal, reading } from './reading.ts'
import type { Implementation, Preparation, Prepared } from './registry.ts'
import { seedOf } from './wallets.ts'

type Input = z.output<typeof importSecret.input>

/** A secret that was read. Disposing wipes it, unless it is the caller's own. */
interface Imported extends Disposable {
  readonly type: RecordType
  readonly secret: Uint8Array
  /** The public half that its file claims. */
  readonly claimed?: Uint8Array | undefined
}

const PEM = encodeUtf8('-----BEGIN ')

/** `import` */
export function importing(tools: Tools): Implementation<typeof importSecret> {
  return (input, { to }, scope) => {
    using imported = reading(() => read(input, tools))
    const { type, secret, claimed } = imported
    const { labels } = input
    const making = { type, secret, claimed, labels, origin: 'imported' as const }
    return { record: makeRecord(to, making, tools, scope) }
  }
}

/** Reads an OpenSSH key, whose passphrase may take a while. */
export function preparingImport({ slab }: Tools): Preparation<typeof importSecret> {
  return (input, signal) => {
    if (input.as.format !== 'openssh') return undefined
    const { passphrase } = input
    const options = {
      ...(passphrase !== undefined && { passphrase }),
      ...(signal !== undefined && { signal }),
    }
    return readSshKey(input.secret, slab, options).then(
      ({ type, secretKey, claimedPublic }): Prepared<Input> => ({
        get input() {
          const { to, labels } = input
          const as = { format: 'raw' as const, type, publicKey: claimedPublic }
          return { to, as, secret: secretKey.bytes, ...(labels !== undefined && { labels }) }
        },
        [Symbol.dispose]: () => {
          secretKey.wipe()
        },
      }),
      (error: unknown) => {
        throw asRefusal(error)
      },
    )
  }
}

function read(input: Input, tools: Tools): Imported {
  const { as, secret, passphrase } = input
  const { slab } = tools
  switch (as.format) {
    case 'raw':
      return { type: as.type, secret, claimed: as.publicKey, [Symbol.dispose]: () => {} }
    case 'pkcs8': {
      const isPem = equalBytes(secret.subarray(0, PEM.byteLength), PEM)
      const parts = isPem ? readPrivatePem(secret, slab) : readPkcs8(secret, slab)
      return {
        type: parts.type,
        secret: parts.secretKey.bytes,
        claimed: parts.claimedPublic,
        [Symbol.dispose]: () => {
          parts.secretKey.wipe()
        },
      }
    }
    case 'bip39': {
      const seed = seedOf({ words: secret, passphrase, language: as.language }, tools)
      return {
        type: 'seed',
        secret: seed.bytes,
        [Symbol.dispose]: () => {
          seed.wipe()
        },
      }
    }
    case 'jwk':
      return readJwk(secret, as.type, slab)
    case 'openssh':
      throw new TypeError('Cannot import OpenSSH key: it was not prepared')
  }
}

/** What a symmetric key is for, where its `alg` says so (RFC 7518 §3.1, §4.1, §5.1). */
const TYPES_BY_ALGORITHM: Readonly<Record<string, RecordType>> = {
  HS256: 'hmac-sha2',
  HS384: 'hmac-sha2',
  HS512: 'hmac-sha2',
  A256GCM: 'aes-256-gcm',
  A256KW: 'aes-256-kw',
}

function readJwk(json: Uint8Array, asked: RecordType | undefined, slab: Slab): Imported {
  const jwk = readPrivateJwk(json, slab)
  const { secretKey, claimedPublic } = jwk
  try {
    const type = typeOfJwk(jwk, asked)
    return {
      type,
      secret: secretKey.bytes,
      claimed: claimedPublic,
      [Symbol.dispose]: () => {
        secretKey.wipe()
      },
    }
  } catch (error) {
    secretKey.wipe()
    throw error
  }
}

/** One purpose for each key: what a JWK says about its use must fit what its type does here. */
function typeOfJwk({ type, alg = '', use, keyOps }: PrivateJwk, asked?: RecordType): RecordType {
  const own = type === 'oct' ? TYPES_BY_ALGORITHM[alg] : type
  const found = own ?? asked
  if (found === undefined) {
    throw new SyntaxError('Cannot read JWK: it does not say what the key is for; name a type')
  }
  if (asked !== undefined && asked !== found) {
    throw new SyntaxError(`Cannot read JWK: it is ${found}, not ${asked}`)
  }
  const signs = ownUses(found).has('sign')
  if (signs && (use === 'enc' || keyOps?.includes('sign') === false)) {
    throw new SyntaxError('Cannot read JWK: by its use or key_ops it does not sign')
  }
  return found
}
