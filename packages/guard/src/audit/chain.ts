/** The chain of hashes over audit entries (`docs/audit.md §2`). It knows no entry's meaning and no disk. */
import { assertBytes, concat, encodeUtf8 } from '@stronghold/core'

import { sha256 } from '../sha256.ts'

const DOMAIN = encodeUtf8('stronghold/audit/1')

/** The head of a chain without entries, 32 bytes. */
export function firstHead(vault: Uint8Array): Uint8Array {
  assertBytes(vault, 'vault id', 16)
  return sha256(concat([DOMAIN, vault]))
}

/** The head behind an entry, 32 bytes. `head` is the one before it, `position` counts from 0. */
export function nextHead(head: Uint8Array, position: number, entry: Uint8Array): Uint8Array {
  assertBytes(head, 'head', 32)
  const bytes = new Uint8Array(DOMAIN.byteLength + 40 + entry.byteLength)
  bytes.set(DOMAIN)
  bytes.set(head, DOMAIN.byteLength)
  let left = position
  for (let at = DOMAIN.byteLength + 39; left > 0; at--) {
    bytes[at] = left % 256
    left = Math.floor(left / 256)
  }
  bytes.set(entry, DOMAIN.byteLength + 40)
  return sha256(bytes)
}
