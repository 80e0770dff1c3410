/** The encrypted vault: see README. What procedures there are stands in `@stronghold/vault/catalog`. */
export { BOX_OVERHEAD, SecretBox, sealTo } from './box.ts'
export { openBackup, verifyBackup } from './backup.ts'
export type {
  BackupCounts,
  BackupFor,
  BackupIdentity,
  BackupInfo,
  BackupInit,
  BackupOptions,
  BackupRecord,
  BackupSource,
  CompareOptions,
  EntryDifference,
  OpenedBackup,
  RecordDifference,
  RecordState,
  Restored,
  RestoreDifference,
  RestoreOptions,
  RestorePolicy,
} from './backup.ts'
export { systemClock } from './clock.ts'
export type { Clock } from './clock.ts'
export type {
  ChainOutput,
  ListedRecord,
  Pending,
  PendingState,
  RunOptions,
  Steps,
  Vault,
} from './contract.ts'
export type { AskedStep, Chain, ReadyStep } from './engine.ts'
export {
  createKeyFile,
  readIdentityFile,
  readKeyFile,
  readPassphrase,
  readPassphraseFile,
} from './credential.ts'
export { isVaultError, VaultError } from './errors.ts'
export type { VaultErrorInit, VaultReason } from './errors.ts'
export { verifyHead } from './head.ts'
export type { SignedHead, VaultHead } from './head.ts'
export type { ByteSource } from './formats/age.ts'
export { hpkeOpen, hpkePublicKey, hpkeSeal } from './formats/hpke.ts'
export type { HpkeRecipientInit, HpkeSenderInit } from './formats/hpke.ts'
export type { KdfParameters } from './header.ts'
export type { RecordInfo } from './info.ts'
export { DEFAULT_LIMITS } from './limits.ts'
export type { VaultLimits } from './limits.ts'
export { previewOf } from './preview.ts'
export type { PreviewDetail, StepPreview } from './preview.ts'
export { ORIGINS } from './record.ts'
export type { Origin } from './record.ts'
export type { FoundEntry, OpenedRow } from './rows.ts'
export type { Random } from './seal.ts'
export { Slab } from './secret.ts'
export type { Locked, Secret, SlabInit } from './secret.ts'
export { FIRST_GUARD_KIND } from './session.ts'
export type { VaultTransaction } from './session.ts'
export type { PutOptions, StoreChanges, StoreEntry } from './store.ts'
export { MemoryStore } from './stores/memory.ts'
export type {
  Change,
  PlainRow,
  RowName,
  Store,
  StoredEntry,
  StoredHeader,
  StoredRow,
} from './stores/store.ts'
export type { Credential, UnlockOptions } from './unlock.ts'
export type { NewUnlocker, RekeyOptions, UnlockerInfo, Unlockers } from './unlockers.ts'
export type { SyncChannel, SyncChannelInit } from './sync/channel.ts'
export type { SyncChanges, SyncRecord, SyncTombstone, SyncWritten } from './sync/changes.ts'
export { createVault, openVault } from './vault.ts'
export type {
  NewVaultInit,
  OpenVault,
  PlainStore,
  VaultInit,
  VaultSeams,
  VaultState,
  VaultStatus,
} from './vault.ts'
