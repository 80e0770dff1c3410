/**
 * The one error class of this package. `code` is what may cross a wire, `reason` tells a program what to do about it.
 * No message and no cause ever holds what a secret holds.
 */
import { isStatusCode } from '@stronghold/core'
import type { StatusCode } from '@stronghold/core'

/** Why a vault refused, where the code alone does not tell what to do next. A closed set; adding one is a minor release. */
export type VaultReason =
  /** The vault is locked: `failed_precondition`. */
  | 'locked'
  /** Wrong passphrase, wrong key file or a damaged header, which look alike: `unauthenticated`. */
  | 'unlock_failed'
  /** Something stands at the path already, or another value than the caller expected: `failed_precondition`. */
  | 'conflict'
  /** Another process holds the vault: `unavailable`. */
  | 'held'
  /** A row, the header or a file is not what was written last: `data_loss`. */
  | 'damaged'
  /** Written by a newer version of this program: `failed_precondition`. */
  | 'newer_format'
  /** The disk is full, or a quota is used up: `resource_exhausted`. */
  | 'disk_full'
  /** The file system takes no writes: `failed_precondition`. */
  | 'read_only'
  /** The disk failed while reading or writing: `unavailable`, and whether a write arrived is not known. */
  | 'disk_failed'
  /** The directory, a file, a link or an owner is not as safe as it has to be: `failed_precondition`. */
  | 'unsafe_file'
  /** No memory could be locked and `requireLocked` was asked for: `failed_precondition`. */
  | 'memory_not_locked'
  /** The key may not be used for this, or nothing may leave it this far: `permission_denied`. */
  | 'usage'
  /** A counter that must never wrap has reached its end; rotate the key: `failed_precondition`. */
  | 'key_worn_out'

/** What stands beside the code of a `VaultError`. */
export interface VaultErrorInit {
  /** What a program may act on. */
  reason?: VaultReason
  /** Kept at home, never sent; never holds a secret. */
  cause?: unknown
}

/** Every failure of a vault but misuse of its API. Messages read `Cannot <action> <thing>: <state>`. */
export class VaultError extends Error {
  override readonly name = 'VaultError'
  readonly code: StatusCode
  readonly reason: VaultReason | undefined

  constructor(code: StatusCode, message: string, init: VaultErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.code = code
    this.reason = init.reason
  }
}

/** Narrows by code or by reason. Works across two bundled copies of this package, where `instanceof` does not. */
export function isVaultError(
  error: unknown,
  is: { code?: StatusCode; reason?: VaultReason } = {},
): error is VaultError {
  return (
    error instanceof Error &&
    error.name === 'VaultError' &&
    'code' in error &&
    isStatusCode(error.code) &&
    (is.code === undefined || error.code === is.code) &&
    (is.reason === undefined || ('reason' in error && error.reason === is.reason))
  )
}
