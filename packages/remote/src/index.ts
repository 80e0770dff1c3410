/** A guarded vault served and used over p2p: see README. */
export * from './connect.ts'
export { serveVault } from './serve.ts'
