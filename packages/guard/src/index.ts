/** Rules, approvals, audit and receipts in front of a vault: see README. */
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
