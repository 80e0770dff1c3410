/**
 * Secrets that come in, in the forms that others write. What a file says of its public half is a claim: it must be the
 * one that is computed. An OpenSSH key is read before the batch, since the KDF of an encrypted one takes a while.
 */
import { encodeUtf8, equalBytes } from '@stronghold/core'
import type { z } from 'zod'

import type { importSecret, RecordType } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { readPkcs8, readPrivatePem } from '../formats/pkcs8.ts'
import { readSshKey } from '../formats/ssh-key.ts'
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
      throw new VaultError('unimplemented', 'Cannot import key: no format jwk yet')
    case 'openssh':
      throw new TypeError('Cannot import OpenSSH key: it was not prepared')
  }
}
