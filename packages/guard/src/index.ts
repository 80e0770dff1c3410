/** Rules, approvals, audit and receipts in front of a vault: see README. */
export { allApprovals } from './all-approvals.ts'
export { exportAudit, verifyExport } from './audit/export.ts'
export { exportLines } from './audit/lines.ts'
export { readWitness, verifyAudit } from './audit/verify.ts'
export type { AuditReport, FoundEntry, VerifyInit, Witness } from './audit/verify.ts'
export type * from './doors.ts'
export { openGuard, VOCABULARY } from './guard.ts'
export type { GuardInit, GuardSeams } from './guard.ts'
export { boundBytes, requestBytes } from './hashed.ts'
export type { HashedBinding, HashedRequest } from './hashed.ts'
export { decodeHead } from './heads.ts'
export type { SignedHead } from './heads.ts'
export { approvalId, named, requestName, shortest } from './ids.ts'
export { DEFAULT_GUARD_LIMITS } from './limits.ts'
export type { GuardLimits } from './limits.ts'
export type { Sha256 } from './merkle.ts'
export {
  CERTIFICATE_ENVELOPE,
  decodeCertificate,
  decodeReceipt,
  encodeCertificate,
  verifyReceipt,
} from './receipts.ts'
export type {
  KeyCertificate,
  Leaf,
  Receipt,
  ReceiptCrypto,
  ReceiptExpected,
  ReceiptVerdict,
  Use,
} from './receipts.ts'
export { pairProof, ticketId } from './tickets.ts'
export type { PairSide } from './pairing.ts'
export { compile, decide } from './rules/decide.ts'
export type {
  Cell,
  CellDecision,
  CompiledRules,
  Decision,
  Ground,
  Memory,
  Request,
} from './rules/decide.ts'
export { diff } from './rules/diff.ts'
export type { Change, Difference, Direction } from './rules/diff.ts'
export { explain } from './rules/explain.ts'
export type { Condition, Explanation, NearMiss } from './rules/explain.ts'
export { parseRule, parseRules, writeRule } from './rules/parse.ts'
export type { ParseContext, WrittenRule } from './rules/parse.ts'
export { introduce, sentence } from './rules/print.ts'
export type { PrintContext } from './rules/print.ts'
export type { Effect, Limit, PeerMatch, ProcedureMatch, Rule, Vocabulary } from './rules/rule.ts'
export { parseRulesFile, printRulesFile } from './rules-file.ts'
export { fingerprintOf } from './sync/partners.ts'
