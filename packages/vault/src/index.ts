/** The encrypted vault: see README. */
export { isVaultError, VaultError } from './errors.ts'
export type { VaultErrorInit, VaultReason } from './errors.ts'
