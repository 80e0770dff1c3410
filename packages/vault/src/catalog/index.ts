/** Every procedure there is, by definition only: what requesters, rules and browsers need to know of a vault. */
export { CATALOG, procedureOf } from './all.ts'
export type { ProcedureName } from './all.ts'
export {
  CIPHER_TYPES,
  MAX_CONCAT_PARTS,
  MAX_CONTEXT_BYTES,
  MAX_DERIVED_BYTES,
  MAX_FIELD_BYTES,
  MAX_HEADER_MEMBERS,
  MAX_KEY_PATH_STEPS,
  MAX_PASSPHRASE_BYTES,
  MAX_RANDOM_BYTES,
  PAIR_TYPES,
  PARENT_TYPES,
  SECRET_LENGTHS,
  SIGNING_TYPES,
} from './bounds.ts'
export type { SecretLength } from './bounds.ts'
export {
  defineProcedure,
  footprint,
  isStepOutput,
  NO_PATH,
  placesOf,
  RECORD_OUTPUT,
  triplesOf,
} from './define.ts'
export type {
  Access,
  Chained,
  Fields,
  InputOf,
  OutputOf,
  Place,
  Procedure,
  ProcedureInit,
  Role,
  Step,
  StepOutput,
  StepPlaces,
  Triple,
} from './define.ts'
export { agree, concat, concatKdf, hkdf, pbkdf2 } from './derivation.ts'
export { dataKey, decrypt, encrypt, ENVELOPE_OVERHEAD, rewrap, unwrap, wrap } from './encryption.ts'
export { parseReference } from './fields.ts'
export type { Reference } from './fields.ts'
export {
  BLIND_FORMATS,
  formatOf,
  FORMATS,
  formatTag,
  formatTags,
  hasFormats,
  looksLike,
  macFormat,
  messageTags,
  signFormat,
} from './formats.ts'
export type { MacFormat, SignFormat } from './formats.ts'
export {
  copy,
  gc,
  generate,
  importSecret,
  narrow,
  pub,
  random,
  retire,
  revoke,
  rotate,
} from './keys.ts'
export {
  defaultLabels,
  EGRESS,
  isNarrower,
  isWithin,
  meet,
  ownUses,
  RECORD_TYPES,
  USAGES,
  widestUsage,
} from './labels.ts'
export type { Egress, Labels, RecordType, Usage } from './labels.ts'
export { mac, macVerify, sign, verify } from './signatures.ts'
export { bip39Generate, bip39Recover, slip10Derive, slip10Generate } from './wallets.ts'
