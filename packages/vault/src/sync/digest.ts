/** What names the secret of a version to another Stronghold that has it, too (`docs/sync.md §2`). It knows no rows. */
import { createHash } from 'node:crypto'

/** Characters of a digest in hex: 16 bytes. */
const DIGEST_LENGTH = 32

/**
 * The digest of a version.
 *
 * @param id - of the record, 32 hex digits
 * @param secret - in secret memory
 * @returns 32 hex digits
 */
export function versionDigest(id: string, number: number, secret: Uint8Array): string {
  const counted = new Uint8Array(4)
  new DataView(counted.buffer).setUint32(0, number)
  return createHash('sha256')
    .update('stronghold/sync/version/1')
    .update(id, 'hex')
    .update(counted)
    .update(secret)
    .digest('hex')
    .slice(0, DIGEST_LENGTH)
}
