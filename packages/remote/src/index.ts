/** A guarded vault served and used over p2p: see README. */
export * from './connect.ts'
export { serveVault } from './serve.ts'
export { servePairing } from './serve-pairing.ts'
export type { PairingDoor, PairingService } from './serve-pairing.ts'
export { fetchSyncKey, runSync, sayToPartner, serveSync } from './sync.ts'
export type { RunSyncOptions, SyncKey } from './sync.ts'
export { SYNC_PROTOCOL } from './sync-protocol.ts'
