/** Every procedure there is, by definition only: what requesters, rules and browsers need to know of a vault. */
export {
  defineProcedure,
  footprint,
  isStepOutput,
  NO_PATH,
  placesOf,
  RECORD_OUTPUT,
} from './define.ts'
export type {
  Access,
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
export { parseReference } from './fields.ts'
export type { Reference } from './fields.ts'
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
