/** `@stronghold/core`: bytes, codec, record paths, schemas, status codes. No I/O, no libp2p, no Node.js. */
export { concat } from './bytes.ts'
export { isStatusCode, RAN, STATUS_CODES } from './status.ts'
export type { Ran, StatusCode } from './status.ts'
