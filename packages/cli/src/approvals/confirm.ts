/**
 * What whoever approves shows again, where the door asks for it: typed, or named on this very command line. What the
 * configuration or the environment unlocks with proves nobody.
 */
import type { OwnerDoor, UnlockBy } from '@stronghold/guard'
import { resolve } from 'node:path'

import type { Call } from '../command.ts'
import { Failure } from '../failure.ts'
import { ask, passphraseAt, passphraseFrom, sealed } from '../passphrase.ts'
import type { Unasked } from '../passphrase.ts'

const UNASKED: Unasked = {
  cannot: 'cannot approve',
  hint: 'name a --passphrase-file or --passphrase-fd',
}

/**
 * The proof that a door wants; `undefined` where it wants none.
 *
 * @throws `Failure` `locked` where one is wanted and nobody is there to type it
 */
export async function proofFor(
  owner: OwnerDoor,
  { io, options }: Pick<Call, 'io' | 'options'>,
): Promise<UnlockBy | undefined> {
  if (!(await owner.status()).confirms) return undefined
  const flag = (name: string): string | undefined => {
    const value: unknown = options[name]
    return typeof value === 'string' ? resolve(io.cwd, value) : undefined
  }
  const keyFile = flag('key-file')
  if (keyFile !== undefined) return { by: 'key-file', path: keyFile }
  const file = flag('passphrase-file')
  const descriptor: unknown = options['passphrase-fd']
  return await sealed(await owner.boxKey(), (slab) => {
    if (file !== undefined) return passphraseAt(file, slab)
    if (typeof descriptor === 'string') return passphraseFrom(numberOf(descriptor), slab)
    return ask(io, slab, 'Passphrase, to approve: ', UNASKED)
  })
}

function numberOf(descriptor: string): number {
  if (/^[0-9]{1,3}$/.test(descriptor)) return Number(descriptor)
  throw new Failure('usage', 'cannot read the passphrase', {
    reason: '--passphrase-fd is no number of an open descriptor',
  })
}
