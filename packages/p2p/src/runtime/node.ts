/**
 * What this package takes from Node.js; the only way to `node:*`. `browser.ts` exports the same names.
 */
export { cryptoRuntime } from './node-crypto.ts'
export { multicastRuntime } from './node-multicast.ts'
export { routerRuntime } from './node-routers.ts'
export { tlsRuntime } from './node-tls.ts'
export { createSecretFile, readSecretFile } from './node-secret-file.ts'
export { transportRuntime } from './node-transports.ts'
