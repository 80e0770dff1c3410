/** `@stronghold/core`: bytes, codec, record paths, schemas, status codes. No I/O, no libp2p, no Node.js. */
export {
  assertBytes,
  compareBytes,
  concat,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
  fromHex,
  toHex,
  wipe,
} from './bytes.ts'
export { decode, encode } from './codec.ts'
export type { DecodeOptions, EncodeOptions } from './codec.ts'
export { nearest } from './nearest.ts'
export {
  matches,
  MAX_PATH_SEGMENTS,
  MAX_SEGMENT_LENGTH,
  parsePath,
  parsePattern,
  Path,
  Pattern,
} from './path.ts'
export { bytes, isBytesSchema, isSchema, validate } from './schema.ts'
export type { BytesSchema, Checked, InferInput, InferOutput, Schema } from './schema.ts'
export { isStatusCode, RAN, STATUS_CODES } from './status.ts'
export type { Ran, StatusCode } from './status.ts'
export { escapeRemote } from './text.ts'
