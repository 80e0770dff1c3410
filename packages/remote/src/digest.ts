/**
 * Files too large to hand over, hashed where they are: an SSHSIG is over the hash of its message, so that the vault needs no
 * more than that. It knows no connection and no key.
 */
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import type { InputOf, sign, verify } from '@stronghold/vault/catalog'

import { DIGEST_ABOVE_BYTES } from './limits.ts'

/** Hashes that an SSHSIG may be over. */
export type SshsigHash = 'sha256' | 'sha512'

/**
 * The hash that an SSHSIG of a file is over, to be signed with `as: { format: 'sshsig', namespace, hash, digested: true }`.
 *
 * @param source - the file, as a whole or piece by piece
 * @param hash - default `sha512`
 */
export async function sshsigDigest(
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  hash: SshsigHash = 'sha512',
): Promise<Uint8Array> {
  const state = (hash === 'sha256' ? sha256 : sha512).create()
  for await (const chunk of source) state.update(chunk)
  return state.digest()
}

type Signing = InputOf<typeof sign> | InputOf<typeof verify>

/** An input as it is sent: a long message whose signature is over its hash anyway becomes that hash. */
export function digested(
  procedure: string,
  input: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  if (procedure !== 'sign' && procedure !== 'verify') return input
  const { message, as = { format: 'sshsig', namespace: 'file' } } = input as Partial<Signing>
  if (!(message instanceof Uint8Array) || message.byteLength <= DIGEST_ABOVE_BYTES) return input
  if (as.format !== 'sshsig' || as.digested === true) return input
  // What a signature to be verified is over, it says itself: only who names the hash can hash here.
  if (procedure === 'verify' && as.hash === undefined) return input
  const { hash = 'sha512' } = as
  const digest = (hash === 'sha256' ? sha256 : sha512)(message)
  return { ...input, message: digest, as: { ...as, hash, digested: true } }
}
