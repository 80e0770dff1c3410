/**
 * What this package takes from a browser. `node.ts` exports the same names.
 */
export { cryptoRuntime } from './browser-crypto.ts'
export {
  createSecretFile,
  multicastRuntime,
  readSecretFile,
  routerRuntime,
  tlsRuntime,
} from './browser-missing.ts'
export { transportRuntime } from './browser-transports.ts'
