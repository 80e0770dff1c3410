/** What a failed transaction may have left behind. It knows no disk, only what a vault says of it. */
import { isVaultError } from '@stronghold/vault'

/** Whether something of a transaction that failed like this may have been written: nothing is where there was no room. */
export function mayBeThere(error: unknown): boolean {
  const without = ['disk_full', 'read_only'] as const
  return !without.some((reason) => isVaultError(error, { reason }))
}
