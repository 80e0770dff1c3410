/** Secret memory that a format fills before anybody gets it. It knows nothing of what is written. */
import type { Secret, Slab } from '../secret.ts'

/**
 * Takes memory and lets `write` fill it; where that throws, the memory goes back wiped.
 *
 * @param length - bytes
 * @throws what `write` throws, `VaultError` `resource_exhausted` where the slab is full
 */
export function filled(slab: Slab, length: number, write: (bytes: Uint8Array) => void): Secret {
  const secret = slab.take(length)
  try {
    write(secret.bytes)
    return secret
  } catch (error) {
    secret.wipe()
    throw error
  }
}
