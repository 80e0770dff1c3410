/**
 * Unlockers: how a passphrase or a key file gives the data key, and how one is added, changed and taken away
 * (`docs/vault-format.md §4`). It reads no file and opens no row. Whatever fails fails alike: who tries learns neither
 * whether the header or the passphrase was wrong, nor, as far as that can be had, by the time it took.
 */
import { assertBytes, concat, encodeUtf8, equalBytes } from '@stronghold/core'

import { VaultError } from './errors.ts'
import { decodeOpenHeader, encodeOpenHeader, encodeUnlocker } from './header.ts'
import type { KdfParameters, OpenHeader, Unlocker, Unwrapped } from './header.ts'
import { MAX_KDF, MAX_KDF_WAITING, MAX_PASSPHRASE_BYTES, MIN_KDF } from './limits.ts'
import { DATA_KEY_BYTES, seal, unseal } from './seal.ts'
import type { Random } from './seal.ts'
import { Slab } from './secret.ts'
import type { Secret } from './secret.ts'
import { sodium } from './sodium.ts'

/** What opens a vault. The bytes stay the caller's to wipe. */
export type Credential =
  /** 1 to 1,024 bytes, taken as they are. */
  | { readonly passphrase: Uint8Array }
  /** The 32 bytes of a key file: `readKeyFile`. */
  | { readonly keyFile: Uint8Array }

/** What is written for new passphrases: 64 MiB and 3 passes (RFC 9106 §4, second choice, but for its lanes). */
export const DEFAULT_KDF: KdfParameters = Object.freeze({ memoryKiB: 64 * 1024, passes: 3 })

/** A new unlocker. */
export interface UnlockerInit {
  /** The vault's id. */
  readonly vault: Uint8Array
  /** 32 bytes; stays the caller's to wipe. */
  readonly dataKey: Uint8Array
  readonly credential: Credential
  /** Up to 64 characters. */
  readonly name: string
  readonly createdAtMs: number
  /** Default `DEFAULT_KDF`. */
  readonly kdf?: KdfParameters
  /** A seam for tests. Default libsodium's. */
  readonly random?: Random
}

/** How one waits for a key. */
export interface UnlockOptions {
  /** Looked at when the computation's turn has come; one that runs is not stopped. */
  signal?: AbortSignal
}

/**
 * Wraps the data key for a passphrase or a key file.
 *
 * @throws `RangeError` for an empty or too long passphrase or parameters out of bounds, before anything is computed;
 *   `VaultError` `resource_exhausted` where memory is not to be had or too many wait
 */
export async function createUnlocker(
  init: UnlockerInit,
  options: UnlockOptions = {},
): Promise<Unlocker> {
  const { vault, credential, name, createdAtMs, kdf = DEFAULT_KDF } = init
  const random = init.random ?? sodium.randombytes_buf.bind(sodium)
  const id = new Uint8Array(8)
  const salt = new Uint8Array(16)
  random(id)
  random(salt)
  const unwrapped: Unwrapped =
    'passphrase' in credential
      ? {
          id,
          kind: 'passphrase',
          name,
          createdAtMs,
          kdf: { memoryKiB: kdf.memoryKiB, passes: kdf.passes, salt },
        }
      : { id, kind: 'key-file', name, createdAtMs, salt }
  if (unwrapped.kind === 'passphrase' && !withinBounds(unwrapped.kdf)) {
    throw new RangeError(
      `Cannot derive key: ${kdf.memoryKiB} KiB and ${kdf.passes} passes are out of bounds`,
    )
  }
  return await withKey(unwrapped, credential, options, (key) => {
    const wrapped = seal(key, wrappedAssociated(vault, unwrapped), init.dataKey, random)
    return { ...unwrapped, wrapped }
  })
}

/**
 * The data key, by whichever unlocker the passphrase or key file fits. Argon2id runs off the event loop and one at a
 * time in this process.
 *
 * @param open - the readable half of the header, as the store gives it
 * @throws `VaultError` `unauthenticated` (`unlock_failed`) for whatever does not fit and for every damage alike;
 *   `resource_exhausted` where memory is not to be had or too many wait; `RangeError` for an empty or too long passphrase
 */
export async function unlock(
  open: Uint8Array,
  credential: Credential,
  slab: Slab,
  options: UnlockOptions = {},
): Promise<Secret> {
  const header = headerOf(open)
  const kind = 'passphrase' in credential ? 'passphrase' : 'key-file'
  const unlockers = header?.unlockers.filter((unlocker) => unlocker.kind === kind) ?? []
  for (const unlocker of unlockers) {
    const dataKey = await withKey(unlocker, credential, options, (key) => {
      const secret = slab.take(DATA_KEY_BYTES)
      const associated = wrappedAssociated(header?.vault ?? new Uint8Array(), unlocker)
      if (unseal(key, associated, unlocker.wrapped, secret.bytes)) return secret
      secret.wipe()
      return undefined
    })
    if (dataKey !== undefined) return dataKey
  }
  // Nothing to try is no quicker than a wrong passphrase.
  if (unlockers.length === 0) await withKey(stranger(kind), credential, options, () => undefined)
  throw new VaultError(
    'unauthenticated',
    'Cannot unlock vault: wrong passphrase or key file, or damaged header',
    { reason: 'unlock_failed' },
  )
}

/**
 * The readable half of the header with one more unlocker.
 *
 * @throws `RangeError` above eight, `SyntaxError` for a header that is damaged
 */
export function addUnlocker(open: Uint8Array, unlocker: Unlocker): Uint8Array {
  const { vault, unlockers } = decodeOpenHeader(open)
  return encodeOpenHeader({ vault, unlockers: [...unlockers, unlocker] })
}

/**
 * The readable half with another unlocker in the place of one: a changed passphrase.
 *
 * @throws `VaultError` `not_found`, `SyntaxError` for a header that is damaged
 */
export function replaceUnlocker(open: Uint8Array, id: Uint8Array, by: Unlocker): Uint8Array {
  const { vault, unlockers } = withUnlocker(open, id)
  const replaced = unlockers.map((unlocker) => (equalBytes(unlocker.id, id) ? by : unlocker))
  return encodeOpenHeader({ vault, unlockers: replaced })
}

/**
 * The readable half without an unlocker.
 *
 * @throws `VaultError` `not_found`, `failed_precondition` for the last one; `SyntaxError` for a header that is damaged
 */
export function removeUnlocker(open: Uint8Array, id: Uint8Array): Uint8Array {
  const { vault, unlockers } = withUnlocker(open, id)
  if (unlockers.length === 1) {
    throw new VaultError('failed_precondition', 'Cannot remove unlocker: it is the last one')
  }
  const others = unlockers.filter((unlocker) => !equalBytes(unlocker.id, id))
  return encodeOpenHeader({ vault, unlockers: others })
}

function withUnlocker(open: Uint8Array, id: Uint8Array): OpenHeader {
  const header = decodeOpenHeader(open)
  if (header.unlockers.some((unlocker) => equalBytes(unlocker.id, id))) return header
  throw new VaultError('not_found', 'Cannot find unlocker: there is none of that id')
}

/** A header that can be tried at all: one with parameters out of bounds is as damaged as any. */
function headerOf(open: Uint8Array): OpenHeader | undefined {
  try {
    const header = decodeOpenHeader(open)
    const sound = header.unlockers.every(
      (unlocker) => unlocker.kind !== 'passphrase' || withinBounds(unlocker.kdf),
    )
    return sound ? header : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function withinBounds({ memoryKiB, passes }: KdfParameters): boolean {
  return (
    Number.isSafeInteger(memoryKiB) &&
    Number.isSafeInteger(passes) &&
    memoryKiB >= MIN_KDF.memoryKiB &&
    memoryKiB <= MAX_KDF.memoryKiB &&
    passes >= MIN_KDF.passes &&
    passes <= MAX_KDF.passes
  )
}

/** An unlocker that fits nothing, so that there is something to compute. */
function stranger(kind: Unlocker['kind']): Unwrapped {
  const id = new Uint8Array(8)
  const salt = new Uint8Array(16)
  return kind === 'passphrase'
    ? { id, kind, name: '', createdAtMs: 0, kdf: { ...DEFAULT_KDF, salt } }
    : { id, kind, name: '', createdAtMs: 0, salt }
}

/** `"stronghold/unlocker/1" ‖ vault ‖ CBOR(unlocker without wrapped)`. */
function wrappedAssociated(vault: Uint8Array, unlocker: Unwrapped): Uint8Array {
  return concat([encodeUtf8('stronghold/unlocker/1'), vault, encodeUnlocker(unlocker)])
}

/** Computes an unlocker's key, lends it to `use` and wipes it. */
async function withKey<T>(
  unlocker: Unwrapped,
  credential: Credential,
  options: UnlockOptions,
  use: (key: Secret) => T,
): Promise<T> {
  // Memory of its own: the vault's slab may go while a thread computes, and a thread cannot be called back.
  if (unlocker.kind === 'passphrase' && 'passphrase' in credential) {
    const { byteLength } = credential.passphrase
    if (byteLength < 1 || byteLength > MAX_PASSPHRASE_BYTES) {
      throw new RangeError(
        `Cannot use passphrase: ${byteLength === 0 ? 'empty' : `longer than ${MAX_PASSPHRASE_BYTES} bytes`}`,
      )
    }
    using slab = new Slab({ bytes: ROOM_BYTES })
    const passphrase = slab.copy(credential.passphrase)
    const key = slab.take(DATA_KEY_BYTES)
    await oneAtATime(options.signal, () => argon2id(key, passphrase, unlocker.kdf))
    return use(key)
  }
  if (unlocker.kind === 'key-file' && 'keyFile' in credential) {
    assertBytes(credential.keyFile, 'key file', 32)
    using slab = new Slab({ bytes: ROOM_BYTES })
    const key = slab.take(DATA_KEY_BYTES)
    const message = concat([encodeUtf8('stronghold/key-file/1'), unlocker.salt])
    sodium.crypto_generichash(key.bytes, message, credential.keyFile)
    return use(key)
  }
  throw new TypeError('Cannot derive key: the credential is of another kind')
}

const ROOM_BYTES = 8192

/** Argon2id version 0x13, one lane (RFC 9106), on a thread of libuv's. */
async function argon2id(
  out: Secret,
  passphrase: Secret,
  kdf: KdfParameters & { readonly salt: Uint8Array },
): Promise<void> {
  try {
    await sodium.crypto_pwhash_async(
      out.bytes,
      passphrase.bytes,
      kdf.salt,
      kdf.passes,
      kdf.memoryKiB * 1024,
      sodium.crypto_pwhash_ALG_ARGON2ID13,
    )
  } catch (cause) {
    throw new VaultError(
      'resource_exhausted',
      `Cannot derive key: ${kdf.memoryKiB} KiB of memory are not to be had`,
      { cause },
    )
  }
}

/**
 * Who waits for the process's one computation. The one state that this package keeps in a module: what it guards, the
 * memory of the process, is one for all vaults in it.
 */
const line = { last: Promise.resolve(), waiting: 0 }

async function oneAtATime(
  signal: AbortSignal | undefined,
  work: () => Promise<void>,
): Promise<void> {
  if (line.waiting >= MAX_KDF_WAITING) {
    throw new VaultError(
      'resource_exhausted',
      `Cannot derive key: ${line.waiting} others wait to unlock`,
    )
  }
  line.waiting++
  const before = line.last
  const mine = Promise.withResolvers<undefined>()
  line.last = mine.promise
  try {
    await before
    signal?.throwIfAborted()
    await work()
  } finally {
    line.waiting--
    mine.resolve(undefined)
  }
}
