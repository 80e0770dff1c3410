/** `@stronghold/testkit/compliance`: what several implementations of one interface promise, as suites. Needs vitest. */
export { vaultCompliance } from './vault.ts'
export type { VaultComplianceInit } from './vault.ts'
