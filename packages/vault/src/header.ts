/**
 * The header's two halves as values: the readable one with its unlockers, the sealed one with what all rows must add up
 * to (`docs/vault-format.md §4`). Decoding takes nothing that encoding would not write; it computes no key.
 */
import { assertBytes, decode, encode } from '@stronghold/core'

import { MAX_HEADER_BYTES, MAX_UNLOCKER_NAME_LENGTH, MAX_UNLOCKERS } from './limits.ts'
import { VAULT_ID_BYTES } from './seal.ts'

/** What every unlocker has. */
interface AnyUnlocker {
  /** 8 random bytes. */
  readonly id: Uint8Array
  /** Up to 64 characters for whoever lists them. */
  readonly name: string
  readonly createdAtMs: number
  /** The data key, sealed under this unlocker's key: 72 bytes. */
  readonly wrapped: Uint8Array
}

/** Opens the vault with a passphrase. */
export interface PassphraseUnlocker extends AnyUnlocker {
  readonly kind: 'passphrase'
  readonly kdf: KdfParameters & { /** 16 bytes. */ readonly salt: Uint8Array }
}

/** Opens the vault with a key file. */
export interface KeyFileUnlocker extends AnyUnlocker {
  readonly kind: 'key-file'
  /** 16 bytes. */
  readonly salt: Uint8Array
}

/** One way to open a vault. */
export type Unlocker = PassphraseUnlocker | KeyFileUnlocker

/** What Argon2id costs. */
export interface KdfParameters {
  readonly memoryKiB: number
  readonly passes: number
}

/** The readable half. */
export interface OpenHeader {
  /** The vault's id, 16 bytes. */
  readonly vault: Uint8Array
  /** 1 to 8. */
  readonly unlockers: readonly Unlocker[]
}

/** The sealed half. */
export interface SealedHeader {
  /** Grows by one with each restore. */
  readonly epoch: number
  /** Grows by one with each commit. */
  readonly generation: number
  /** How many rows there are. */
  readonly rows: number
  /** What they add up to: 32 bytes. */
  readonly sum: Uint8Array
  /** Hash of the newest audit entry: 32 bytes. */
  readonly auditHead: Uint8Array
  /** Entries ever appended. */
  readonly auditLength: number
  readonly highestTimeMs: number
  readonly createdAtMs: number
  /** Digest of the rows of `plain` below kind 16: 32 bytes. */
  readonly plain: Uint8Array
}

/**
 * The readable half as bytes.
 *
 * @throws `RangeError` for no unlocker or more than eight, or a name that is too long
 */
export function encodeOpenHeader(header: OpenHeader): Uint8Array {
  assertBytes(header.vault, 'vault id', VAULT_ID_BYTES)
  const count = header.unlockers.length
  if (count < 1 || count > MAX_UNLOCKERS) {
    throw new RangeError(`Cannot write header: ${count} unlockers, where 1 to ${MAX_UNLOCKERS} go`)
  }
  for (const unlocker of header.unlockers) {
    if (unlocker.name.length > MAX_UNLOCKER_NAME_LENGTH) {
      throw new RangeError(
        `Cannot write header: a name of more than ${MAX_UNLOCKER_NAME_LENGTH} characters`,
      )
    }
  }
  return encode({
    vault: header.vault,
    unlockers: header.unlockers.map((unlocker) => plainUnlocker(unlocker, unlocker.wrapped)),
  })
}

/** CBOR of an unlocker without `wrapped`: what wrapping authenticates. */
export function encodeUnlocker(unlocker: Unwrapped): Uint8Array {
  return encode(plainUnlocker(unlocker))
}

/** An unlocker that has no data key in it yet. */
export type Unwrapped = Omit<PassphraseUnlocker, 'wrapped'> | Omit<KeyFileUnlocker, 'wrapped'>

function plainUnlocker(unlocker: Unwrapped, wrapped?: Uint8Array): object {
  const { id, kind, name, createdAtMs } = unlocker
  return unlocker.kind === 'passphrase'
    ? {
        id,
        kind,
        name,
        createdAtMs,
        wrapped,
        kdf: {
          memoryKiB: unlocker.kdf.memoryKiB,
          passes: unlocker.kdf.passes,
          salt: unlocker.kdf.salt,
        },
      }
    : { id, kind, name, createdAtMs, wrapped, salt: unlocker.salt }
}

/**
 * The readable half. KDF parameters are numbers here; whether they are within bounds is for whoever computes.
 *
 * @throws `SyntaxError` for anything that `encodeOpenHeader` would not have written
 */
export function decodeOpenHeader(bytes: Uint8Array): OpenHeader {
  if (bytes.byteLength > MAX_HEADER_BYTES) throw bad('too long')
  const header = fields(decodeCbor(bytes), ['vault', 'unlockers'])
  const list: unknown = header['unlockers']
  if (!Array.isArray(list) || list.length < 1 || list.length > MAX_UNLOCKERS) {
    throw bad('the number of unlockers')
  }
  return {
    vault: bytesOf(header['vault'], VAULT_ID_BYTES),
    unlockers: list.map(readUnlocker),
  }
}

function readUnlocker(value: unknown): Unlocker {
  const kind: unknown =
    typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  if (kind !== 'passphrase' && kind !== 'key-file') throw bad('the kind of an unlocker')
  const own = kind === 'passphrase' ? 'kdf' : 'salt'
  const unlocker = fields(value, ['id', 'kind', 'name', 'createdAtMs', 'wrapped', own])
  const name = unlocker['name']
  if (typeof name !== 'string' || name.length > MAX_UNLOCKER_NAME_LENGTH) throw bad('a name')
  const common = {
    id: bytesOf(unlocker['id'], 8),
    name,
    createdAtMs: uint(unlocker['createdAtMs']),
    wrapped: bytesOf(unlocker['wrapped'], 72),
  }
  if (kind === 'key-file') return { ...common, kind, salt: bytesOf(unlocker['salt'], 16) }
  const kdf = fields(unlocker['kdf'], ['memoryKiB', 'passes', 'salt'])
  return {
    ...common,
    kind,
    kdf: {
      memoryKiB: uint(kdf['memoryKiB']),
      passes: uint(kdf['passes']),
      salt: bytesOf(kdf['salt'], 16),
    },
  }
}

/** The sealed half as bytes, before it is sealed. */
export function encodeSealedHeader(header: SealedHeader): Uint8Array {
  return encode(header)
}

/**
 * The sealed half from bytes that were sealed.
 *
 * @throws `SyntaxError` for anything that `encodeSealedHeader` would not have written
 */
export function decodeSealedHeader(bytes: Uint8Array): SealedHeader {
  const header = fields(decodeCbor(bytes), [
    'epoch',
    'generation',
    'rows',
    'sum',
    'auditHead',
    'auditLength',
    'highestTimeMs',
    'createdAtMs',
    'plain',
  ])
  return {
    epoch: uint(header['epoch']),
    generation: uint(header['generation']),
    rows: uint(header['rows']),
    sum: bytesOf(header['sum'], 32),
    auditHead: bytesOf(header['auditHead'], 32),
    auditLength: uint(header['auditLength']),
    highestTimeMs: uint(header['highestTimeMs']),
    createdAtMs: uint(header['createdAtMs']),
    plain: bytesOf(header['plain'], 32),
  }
}

function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, { maxBytes: MAX_HEADER_BYTES, maxDepth: 4 })
  } catch (cause) {
    throw new SyntaxError('Cannot read header: no CBOR of ours', { cause })
  }
}

/** An object with exactly these fields. */
function fields(value: unknown, names: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('no object')
  const keys = Object.keys(value)
  if (keys.length !== names.length || !names.every((name) => Object.hasOwn(value, name))) {
    throw bad('other fields')
  }
  return value as Record<string, unknown>
}

function uint(value: unknown): number {
  if (typeof value !== 'number' || value < 0) throw bad('a number')
  return value
}

function bytesOf(value: unknown, length: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.byteLength !== length) throw bad('bytes')
  return value
}

function bad(what: string): SyntaxError {
  return new SyntaxError(`Cannot read header: ${what}`)
}
