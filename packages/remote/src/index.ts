/** A guarded vault served and used over p2p: see README. */
export * from './connect.ts'
export { serveVault } from './serve.ts'
export { servePairing } from './serve-pairing.ts'
export type { PairingDoor, PairingService } from './serve-pairing.ts'
